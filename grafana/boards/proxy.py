"""Time proxy: how well time alone tells energy, where it fails, and what tells it better."""

from grafana import colours
from grafana.board import INSTANCE, JOB, MODEL_CHOICE, SERVER_CHOICE, Board, Row, one_of
from grafana.panels import Column, Look, Placed, bars, heatmap, scatter, table, timeseries
from grafana.query import MODEL, TARGET, Query, buckets, increase, mean, rate, running

JOULES = "llm_request_energy_joules"
PREDICTED = "llm_time_proxy_energy_joules_total"
UNPREDICTED = "llm_time_proxy_unpredicted_total"
SCORE = "llm_time_proxy_score"
ERROR = "llm_time_proxy_error_ratio"
COEFFICIENT = "llm_time_proxy_coefficient"
GROUND = f'{MODEL}, ground="$ground"'
GROUNDS = {"isolated": "alone", "window": "windows", "request": "shares"}
WATTS = 'term=~"second|shared_second|idle", proxy!="peak"'
JOULE_TERMS = 'term!~"second|shared_second|idle"'

GROUND_CHOICE = one_of(
    "ground",
    "Held against",
    "window: stretches of time, metered. isolated: requests that ran alone, metered. request: shares by the "
    "attribution policy, which flatters a proxy that resembles it.",
    "window",
    "isolated",
    "request",
)


def _how_good() -> Row:
    return Row(
        "How well does time tell energy?",
        (
            scatter(
                "Predicted against measured joules per request",
                "A point for each interval and proxy: mean measured energy across, mean prediction up. On the "
                "dashed line y = x a proxy is right; above it it says too much. `time` knows only how long a "
                "request took; `step_model` knows tokens and who else ran. Choose one model to compare like with "
                "like.",
                Query(mean(JOULES), "measured"),
                Query(_predicted(), "{{proxy}}"),
                line=Query(mean(JOULES), "y = x"),
                look=Look("joule", colours=colours.PROXIES),
                y_name="predicted",
            ),
            scatter(
                "Where time fails: predicted over measured, by concurrency",
                "A point for each interval and proxy: requests running at once across, predicted over measured "
                "energy up; 1 is right. A proxy that does not know who else ran says too much when many did, and "
                "too little when few did.",
                Query(f"avg({running('instance, server')})", "requests at once, on a server"),
                Query(_over(), "{{proxy}}"),
                line=Query(f"avg({running('instance, server')}) * 0 + 1", "right"),
                look=Look("percentunit", colours=colours.PROXIES),
                x_unit="none",
                y_name="predicted / measured",
            ),
            _scores(),
        ),
    )


def _predicted() -> str:
    """Mean over the requests of which a proxy said something. `peak`, an upper bound, would fill the picture."""
    some = f'{MODEL}, proxy!="peak"'
    said = f"scalar({rate('llm_requests_total', where=MODEL)}) - {rate(UNPREDICTED, 'proxy', some)}"
    return f"{rate(PREDICTED, 'proxy', some)} / ({said}) > 0"


def _over() -> str:
    return f"({_predicted()}) / scalar({mean(JOULES)})"


def _scores() -> Placed:
    error = Look("percentunit", 1, steps=colours.MORE_IS_WORSE)
    fit = Look("none", 3, least=None, steps=colours.MORE_IS_BETTER)
    columns = [Column(f"MAPE, {name}", _score("mape", ground), error, painted=True) for ground, name in GROUNDS.items()]
    columns += [Column(f"R2, {name}", _score("r2", ground), fit, painted=True) for ground, name in GROUNDS.items()]
    columns += [
        Column("Bias", _score("bias", "window"), Look("percentunit", 1, least=None)),
        Column("Spearman", _score("spearman", "window"), fit, painted=True),
    ]
    return table(
        "Scores of the latest predictions, by model, proxy and ground",
        "Each prediction was made before the energy was known. MAPE: mean error over the actual energy, 0 is "
        "perfect. R2: 1 is perfect, below 0 the mean does better. Alone: requests that ran alone. Windows: "
        "stretches of time. Both are metered. Shares: by the attribution policy, no headline. Bias and Spearman are "
        "of windows: above 0 says too much; 1 ranks right. Means over servers; empty until there are enough "
        "predictions.",
        {"model": "Model", "proxy": "Proxy"},
        *columns,
        height=11,
        sort="R2, windows",
    )


def _score(score: str, ground: str) -> str:
    return f'avg by (model, proxy) ({SCORE}{{{MODEL}, ground="{ground}", score="{score}"}})'


def _errors() -> Row:
    return Row(
        "Errors, held against: $ground",
        (
            heatmap(
                "Errors of time alone: predicted over actual energy",
                "How many predictions were how far off: 1 is right, 2 is twice too much. `time` is the wall clock "
                "alone.",
                Query(buckets(ERROR, f'{GROUND}, proxy="time"'), "{{le}}"),
                unit="none",
            ),
            heatmap(
                "Errors of the step model: predicted over actual energy",
                "The same of the proxy that knows tokens and concurrency. The narrower around 1, the better.",
                Query(buckets(ERROR, f'{GROUND}, proxy="step_model"'), "{{le}}"),
                unit="none",
            ),
            timeseries(
                "MAPE over time",
                "Mean error of the latest predictions, over the actual energy. Logarithmic.",
                Query(_over_time("mape"), "{{proxy}}"),
                look=Look("percentunit", least=None, colours=colours.PROXIES),
                width=8,
                logarithmic=True,
            ),
            timeseries(
                "Bias over time",
                "Sum of errors over the sum of actual energy: above 0 the proxy says too much. `peak`, which takes "
                "every second for one at full power, is left out.",
                Query(_over_time("bias", ', proxy!="peak"'), "{{proxy}}"),
                look=Look("percentunit", least=None, colours=colours.PROXIES),
                width=8,
            ),
            timeseries(
                "Drift",
                "How far recent errors have left their own history, in standard deviations, held against shares, of "
                "which there are most. Beyond 3 something changed: the load, the engine, a clock limit.",
                Query(f"max by (proxy) (llm_time_proxy_drift{{{MODEL}, ground='request'}})", "{{proxy}}"),
                look=Look(
                    "none",
                    nothing="not known yet",
                    least=None,
                    colours=colours.PROXIES,
                    steps=((None, "green"), (3.0, "red")),
                ),
                width=8,
                bounds=True,
            ),
        ),
    )


def _over_time(score: str, more: str = "") -> str:
    return f'avg by (proxy) ({SCORE}{{{GROUND}, score="{score}"{more}}})'


def _learned() -> Row:
    return Row(
        "What the proxies learned",
        (
            timeseries(
                "Watts a request is taken for",
                "Coefficients in watts: of a second of a request (`second`), or of a second shared with those who ran "
                "with it (`shared_second`). A line that keeps moving has not learned, or time is no proxy here.",
                Query(_coefficient(WATTS), "{{proxy}}: {{term}}, {{model}}"),
                look=Look("watt"),
                height=9,
            ),
            timeseries(
                "Joules of a step, a token, a request",
                "Coefficients in joules. Logarithmic: a step costs a hundred times a token.",
                Query(f"{_coefficient(JOULE_TERMS)} > 0", "{{proxy}}: {{term}}, {{model}}"),
                look=Look("joule", least=None),
                height=9,
                logarithmic=True,
            ),
            bars(
                "Predictions held against energy",
                "Predictions by time alone, in the chosen time, by what they were held against. Requests alone are "
                "rare on a busy server.",
                Query(_samples(), "{{ground}}"),
                look=Look("short", 0),
                width=12,
            ),
            timeseries(
                "Requests of which a proxy could say nothing",
                "It had not learned yet, or the log lacks what it needs: `tokens` and `step_model` need token counts.",
                Query(_unpredicted(), "{{proxy}}"),
                look=Look("percentunit", most=1.0, colours=colours.PROXIES),
            ),
        ),
    )


def _unpredicted() -> str:
    requests = rate("llm_requests_total", where=MODEL)
    return f"{rate(UNPREDICTED, 'proxy', MODEL)} / scalar({requests} > 0)"


def _samples() -> str:
    return increase("llm_time_proxy_samples_total", "ground", f'{MODEL}, proxy="time"')


def _coefficient(terms: str) -> str:
    return f"avg by (model, proxy, term) ({COEFFICIENT}{{{MODEL}, {terms}}})"


BOARD = Board(
    "proxy",
    "LLM energy / Time as a proxy",
    "Can time stand in for energy? Predictions that were made before the energy was known, held against it.",
    (JOB, INSTANCE, SERVER_CHOICE, MODEL_CHOICE, GROUND_CHOICE),
    (_how_good(), _errors(), _learned()),
    TARGET,
)
