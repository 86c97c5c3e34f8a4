"""Fleet: many pods and nodes, through recording rules alone, so that ten thousand exporters open as fast as one."""

from grafana import colours
from grafana.board import Board, Row, choice
from grafana.panels import Column, Look, bars, stat, table, timeseries
from grafana.query import Query

HERE = 'job=~"$job"'
SERVED = f'{HERE}, server=~"$server"'
MODEL = f'{SERVED}, model=~"$model"'
POWER = f"kind:llm_device_power_watts:sum{{{HERE}}}"
METERED = f"kind:llm_device_energy_joules:rate5m{{{HERE}}}"
SHARES = f"kind_share:llm_energy_joules:rate5m{{{HERE}}}"
JOULES = f"server_model_method:llm_request_energy_joules_%s:rate5m{{{MODEL}}}"
TOKENS = f'server_model_direction:llm_tokens:rate5m{{{MODEL}, direction="output"}}'
REQUESTS = f"server_model_outcome:llm_requests:rate5m{{{MODEL}}}"
RUNNING = f"server_model:llm_request_duration_seconds_sum:rate5m{{{MODEL}}}"
TENANTS = f"server_tenant:llm_tenant_energy_joules:rate5m{{{SERVED}}}"
PER_REQUEST = f"sum by (%s) ({JOULES % 'sum'}) / (sum by (%s) ({JOULES % 'count'}) > 0)"
IDLE = f'instance_kind_share:llm_energy_joules:rate5m{{{HERE}, share="idle"}}'

JOB = choice("job", "Job", "label_values(version:llm_energy_exporter_build_info:count, job)", everything=".+")
SERVER = choice("server", "Server", f"label_values(server_view:llm_running_requests:sum{{{HERE}}}, server)")
MODELS = choice("model", "Model", f"label_values(server_model_outcome:llm_requests:rate5m{{{SERVED}}}, model)")


def _now() -> Row:
    return Row(
        "Now",
        (
            stat(
                "Exporters",
                "How many exporters were scraped.",
                Query(f"sum(version:llm_energy_exporter_build_info:count{{{HERE}}})"),
                look=Look("none", 0),
                trend=True,
            ),
            stat("Power", "Of all devices.", Query(f"sum({POWER})"), look=Look("watt", 1), trend=True),
            stat(
                "Idle share",
                "Of the energy of the last five minutes: booked to no request, because none ran.",
                Query(f'sum(kind_share:llm_energy_joules:rate5m{{{HERE}, share="idle"}}) / (sum({SHARES}) > 0)'),
                look=Look("percentunit", 1, most=1.0, steps=((None, "green"), (0.3, "yellow"), (0.6, "red"))),
                trend=True,
            ),
            stat(
                "Requests running",
                "That ran at once, on average of the last five minutes: seconds of settled requests a second.",
                Query(f"sum({RUNNING})"),
                look=Look("short", 1, steps=((None, "yellow"),)),
                trend=True,
            ),
            stat(
                "J per request",
                "Mean of the last five minutes.",
                Query(f"sum({JOULES % 'sum'}) / (sum({JOULES % 'count'}) > 0)"),
                look=Look("joule", 1, steps=((None, "green"),)),
                trend=True,
            ),
            stat(
                "J per output token",
                "Energy of requests over the tokens they generated, in the last five minutes.",
                Query(f"sum({JOULES % 'sum'}) / (sum({TOKENS}) > 0)"),
                look=Look("joule", 2, steps=((None, "green"),)),
                trend=True,
            ),
        ),
    )


def _power() -> Row:
    return Row(
        "Power",
        (
            timeseries(
                "Power by share",
                "Energy as booked, to requests, to idle, or to requests that are not known; grey is not settled "
                "yet; white: as metered.",
                Query(f"sum by (share) ({SHARES})", "{{share}}"),
                Query(f"clamp_min(sum({METERED}) - sum({SHARES}), 0)", "not settled yet"),
                Query(f"sum({METERED})", "metered"),
                look=Look("watt", colours=colours.SHARES),
                stacked=True,
                lines=("metered",),
                width=12,
                height=9,
            ),
            timeseries(
                "Exporters with the most idle power",
                "Power that no request used, of the ten exporters where it is most: candidates for fewer replicas.",
                Query(f"topk(10, sum by (instance) ({IDLE}))", "{{instance}}"),
                look=Look("watt"),
                width=12,
                height=9,
            ),
        ),
    )


def _models() -> Row:
    return Row(
        "Models, servers and tenants",
        (
            timeseries(
                "Joules per request, by model",
                "Mean of five minutes, over all servers of the model.",
                Query(PER_REQUEST % ("model", "model"), "{{model}}"),
                look=Look("joule"),
                width=8,
            ),
            timeseries(
                "Joules per output token, by model",
                "Prompts are in the energy, not in the tokens.",
                Query(f"sum by (model) ({JOULES % 'sum'}) / (sum by (model) ({TOKENS}) > 0)", "{{model}}"),
                look=Look("joule"),
                width=8,
            ),
            timeseries(
                "Requests by outcome",
                "Requests settled a second.",
                Query(f"sum by (outcome) ({REQUESTS})", "{{outcome}}"),
                look=Look("reqps", colours=colours.OUTCOMES),
                stacked=True,
                width=8,
            ),
            table(
                "By server and model",
                "The last five minutes. Servers of one name on several exporters are added up.",
                {"server": "Server", "model": "Model"},
                Column("Power", f"sum by (server, model) ({JOULES % 'sum'})", Look("watt", 1)),
                Column("Requests", f"sum by (server, model) ({REQUESTS})", Look("reqps", 2)),
                Column("Tokens out / s", f"sum by (server, model) ({TOKENS})", Look("short", 1)),
                Column("J / request", PER_REQUEST % ("server, model", "server, model"), Look("joule", 1)),
                Column(
                    "J / token out",
                    f"sum by (server, model) ({JOULES % 'sum'}) / (sum by (server, model) ({TOKENS}) > 0)",
                    Look("joule", 2),
                ),
                width=16,
                sort="Power",
            ),
            bars(
                "Power by tenant",
                "The last five minutes; the ten largest.",
                Query(f"topk(10, sum by (tenant) ({TENANTS}))", "{{tenant}}"),
                look=Look("watt", 1, nothing="no tenants"),
            ),
        ),
    )


def _trust() -> Row:
    scores = "server_model_proxy_ground_score:llm_time_proxy_score:avg"
    bias = f'{scores}{{{MODEL}, ground="window", score="bias", proxy!="peak"}}'
    return Row(
        "Can it be believed?",
        (
            timeseries(
                "Time proxies: bias",
                "Sum of errors over the sum of metered energy, of stretches of time, mean over servers: above 0 a "
                "proxy says too much. `peak`, an upper bound, is left out.",
                Query(f"avg by (proxy) ({bias})", "{{proxy}}"),
                look=Look("percentunit", least=None, colours=colours.PROXIES, nothing="not known yet"),
                width=8,
            ),
            timeseries(
                "Energy of requests that are not known",
                "Share of what is booked.",
                Query(
                    f'sum(kind_share:llm_energy_joules:rate5m{{{HERE}, share="unattributed"}}) / (sum({SHARES}) > 0)',
                    "unattributed",
                ),
                look=Look("percentunit", colours=colours.SHARES),
                width=8,
            ),
            timeseries(
                "Exporters by version",
                "How many are scraped. A step down is a dead exporter, or a scale-down.",
                Query(f"sum by (version) (version:llm_energy_exporter_build_info:count{{{HERE}}})", "{{version}}"),
                look=Look("none", 0),
                width=8,
            ),
        ),
    )


BOARD = Board(
    "fleet",
    "LLM energy / Fleet",
    "Many exporters at once. Needs the recording rules of deploy/prometheus.",
    (JOB, SERVER, MODELS),
    (_now(), _power(), _models(), _trust()),
    HERE,
    since="now-3h",
)
