"""Requests: how much energy each takes, how long, and whose they are."""

from grafana import colours
from grafana.board import INSTANCE, JOB, MODEL_CHOICE, SERVER_CHOICE, Board, Row
from grafana.panels import Look, bars, heatmap, scatter, stat, timeseries
from grafana.query import (
    MODEL,
    SERVER,
    TARGET,
    Query,
    buckets,
    increase,
    mean,
    quantile,
    quantile_over_range,
    rate,
    ratio,
    running,
)

JOULES = "llm_request_energy_joules"
SECONDS = "llm_request_duration_seconds"
FIRST_TOKEN = "llm_request_time_to_first_token_seconds"  # noqa: S105 - a metric
TOKEN_JOULES = "llm_request_energy_per_output_token_joules"  # noqa: S105
NOT_OK = f'{MODEL}, outcome!="ok"'
EXEMPLARS = "Dots are exemplars: single requests, with their id, if Prometheus keeps exemplars."


def _now() -> Row:
    return Row(
        "In the chosen time",
        (
            stat(
                "Requests settled",
                "Requests whose energy is known and booked.",
                Query(increase("llm_requests_total", where=MODEL)),
                look=Look("short", 0),
            ),
            stat(
                "Median energy",
                "Half of the requests took less. Read out of a histogram: as exact as its buckets.",
                Query(quantile_over_range(0.5, JOULES, MODEL)),
                look=Look("joule", 0, steps=((None, "green"),)),
            ),
            stat(
                "Energy, p95",
                "One request in twenty took more. Read out of a histogram: as exact as its buckets.",
                Query(quantile_over_range(0.95, JOULES, MODEL)),
                look=Look("joule", 0, steps=((None, "yellow"),)),
            ),
            stat(
                "Duration, p95",
                "From a request's start to its end, queueing excluded where the source can tell.",
                Query(quantile_over_range(0.95, SECONDS, MODEL)),
                look=Look("s", 1, steps=((None, "yellow"),)),
            ),
            stat(
                "First token, p95",
                "From a request's start to its first output token, where the source can tell.",
                Query(quantile_over_range(0.95, FIRST_TOKEN, MODEL)),
                look=Look("s", 2, steps=((None, "yellow"),), nothing="not told"),
            ),
            stat(
                "Not ok",
                "Share of requests that were aborted or failed. They took energy all the same.",
                Query(ratio(increase("llm_requests_total", where=NOT_OK), increase("llm_requests_total", where=MODEL))),
                look=Look("percentunit", 1, steps=((None, "green"), (0.05, "yellow"), (0.2, "red"))),
            ),
        ),
    )


def _energy() -> Row:
    return Row(
        "Energy",
        (
            heatmap(
                "Energy of each request",
                f"How many requests took how much, over time. {EXEMPLARS}",
                Query(buckets(JOULES, MODEL), "{{le}}", exemplar=True),
                unit="joule",
            ),
            heatmap(
                "Energy per output token of each request",
                f"Where requests are batched well, the band is low and narrow. {EXEMPLARS}",
                Query(buckets(TOKEN_JOULES, MODEL), "{{le}}", exemplar=True),
                unit="joule",
            ),
            timeseries(
                "Energy of a request: mean and percentiles",
                f"Logarithmic. The mean lies above the median where few requests take much. {EXEMPLARS}",
                Query(mean(JOULES), "mean"),
                Query(quantile(0.5, JOULES, MODEL), "p50"),
                Query(quantile(0.95, JOULES, MODEL), "p95", exemplar=True),
                Query(quantile(0.99, JOULES, MODEL), "p99"),
                look=Look("joule", least=None, colours=colours.QUANTILES),
                logarithmic=True,
            ),
            scatter(
                "Energy against latency",
                "A point for each interval: mean duration across, mean energy up. If time told energy, the points "
                "would lie along the dashed line, the chosen time's mean power of a request. Points below it: more "
                "requests ran at once, each slower and cheaper. Choose one model to compare like with like.",
                Query(mean(SECONDS), "mean duration"),
                Query(mean(JOULES), "energy of a request"),
                line=Query(f"{mean(SECONDS)} * scalar({_watts()})", "in proportion to time"),
                look=Look("joule", colours={"energy of a request": "orange"}),
                x_unit="s",
                y_name="mean energy",
                height=8,
            ),
        ),
    )


def _watts() -> str:
    """Of a request, over the whole range: the same for every point of the graph."""
    joules, seconds = (f"sum(increase({name}_sum{{{MODEL}}}[$__range] @ end()))" for name in (JOULES, SECONDS))
    return f"{joules} / {seconds}"


def _time() -> Row:
    return Row(
        "Time",
        (
            heatmap(
                "Duration of each request",
                f"From start to end, queueing excluded where the source can tell. {EXEMPLARS}",
                Query(buckets(SECONDS, MODEL), "{{le}}", exemplar=True),
                unit="s",
            ),
            heatmap(
                "Time to first token of each request",
                f"From start to first output token, where the source can tell. {EXEMPLARS}",
                Query(buckets(FIRST_TOKEN, MODEL), "{{le}}", exemplar=True),
                unit="s",
            ),
        ),
    )


def _kinds() -> Row:
    return Row(
        "What for and for whom",
        (
            timeseries(
                "Power by phase",
                "Energy of settled requests: reading prompts (prefill) and generating (decode), where the source tells "
                "when the first token came.",
                Query(rate("llm_phase_energy_joules_total", "phase", MODEL), "{{phase}}"),
                look=Look("watt", colours=colours.PHASES),
                stacked=True,
                width=8,
            ),
            timeseries(
                "Requests by outcome",
                "Requests settled a second. Aborted: the client left; its request took energy until then.",
                Query(rate("llm_requests_total", "outcome", MODEL), "{{outcome}}"),
                look=Look("reqps", colours=colours.OUTCOMES),
                stacked=True,
                width=8,
            ),
            timeseries(
                "Tokens a second, by direction",
                "Tokens of settled requests a second: read (input) and generated (output).",
                Query(rate("llm_tokens_total", "direction", MODEL), "{{direction}}"),
                look=Look("short"),
                width=8,
            ),
            timeseries(
                "Requests running, by model",
                "How many ran at once, on average: seconds of settled requests a second.",
                Query(running("model"), "{{model}}"),
                look=Look("short"),
                width=8,
            ),
            timeseries(
                "Power by tenant",
                "Energy of settled requests a second, by whom it is billed to; the ten largest. Empty where no "
                "tenant is configured or told.",
                Query(f"topk(10, {rate('llm_tenant_energy_joules_total', 'tenant', SERVER)})", "{{tenant}}"),
                look=Look("watt", nothing="no tenants"),
                stacked=True,
                width=8,
            ),
            bars(
                "Energy by tenant",
                "In the chosen time; the ten largest. `unknown` named nobody, `other` came past the bound.",
                Query(f"topk(10, {increase('llm_tenant_energy_joules_total', 'tenant', SERVER)})", "{{tenant}}"),
                look=Look("joule", 1, nothing="no tenants"),
                width=8,
            ),
        ),
    )


BOARD = Board(
    "requests",
    "LLM energy / Requests",
    "How much energy requests take, how long they last, which phase and which tenant it goes to.",
    (JOB, INSTANCE, SERVER_CHOICE, MODEL_CHOICE),
    (_now(), _energy(), _time(), _kinds()),
    TARGET,
)
