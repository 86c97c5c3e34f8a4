"""Every metric family, declared once. Exposition, documentation and checks of dashboards all read it from here.

Names follow Prometheus: base units, `_total` for counters, `_info` for facts. Every label has a closed or bounded set
of values; ids, users and prompts are never labels. A shipped name or label never changes meaning.
"""

from dataclasses import dataclass
from typing import Literal

FamilyType = Literal["counter", "gauge", "histogram", "info"]
Stability = Literal["stable", "experimental"]
Topic = Literal[
    "Requests", "Power and energy", "Attribution", "Time as a proxy", "Budgets and carbon", "The exporter itself"
]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    Attributes:
        name: as it stands on the page, with its `_total` or `_info`.
        labels: in the order in which values are given.
        topic: where it stands in the documentation.
        stability: a `stable` family keeps its name, labels and meaning; an `experimental` one may still lose them.
        since: the release that brought it.
    """

    name: str
    type: FamilyType
    help: str
    labels: tuple[str, ...]
    topic: Topic
    stability: Stability = "stable"
    since: str = "0.1.0"

    @property
    def unit(self) -> str:
        """The unit the name ends in, as OpenMetrics wants it declared; empty for a plain count."""
        last = self.name.removesuffix("_total").rsplit("_", 1)[-1]
        return last if last in UNITS else ""


UNITS = frozenset({"joules", "watts", "seconds", "bytes", "ratio"})

LABELS = {
    "budget": "name of an energy budget of the configuration",
    "configured": "the attribution policy that the configuration asks for",
    "counter": "whether the source reads an energy counter: `true` or `false`",
    "device": "short name on this machine: `gpu0`, `cpu0`, `dram0`",
    "direction": "`input` (prompt) or `output` (generated)",
    "edge": "`start` or `end` of a request",
    "ground": "what a proxy is held against: `isolated` (requests that ran alone, metered), `window` (stretches of "
    "time, metered) or `request` (shares, by the attribution policy: no headline)",
    "how": "how a request was seen to end: `finish`, `abort`, `release`, `timeout`, `reuse`, `restart`",
    "kind": "`gpu`, `cpu` or `dram`",
    "label": "the bounded label whose bound was reached",
    "method": "`measured` by a sensor, `estimated` by a model of the device, `simulated`: nothing real drew it, or "
    "`time_proxy`: predicted from time",
    "model": "the model's name, from the log or configured; `other` past the bound",
    "name": "the device's product name",
    "outcome": "of a request: `ok`, `error`, `aborted`; of a log line: `used`, `ignored`, `dropped`",
    "per": "the window of an energy budget, such as `1d`, or `request`",
    "phase": "`prefill` or `decode`",
    "policy": "the attribution policy in force: `time`, `tokens`, `steps`",
    "proxy": "`time`, `affine_time`, `time_share`, `tokens`, `step_model`, `peak`",
    "reason": "from a closed set per source or reader; empty where nothing needs a reason",
    "score": "`r2` (1: perfect, below 0: the mean does better), `mape` (mean of absolute error / actual), "
    "`bias` (sum of errors / sum of actual, above 0: too much), `pearson`, `spearman`",
    "server": "the name of the inference server in the configuration",
    "share": "`requests`, `idle` (no request ran) or `unattributed` (caused by a request that is not known)",
    "source": "the power source: `nvml`, `rapl`, `cpu`, `simulated`",
    "stage": "the part of the exporter in which the fault was caught",
    "tenant": "whom a request is billed to: a header's value, a key's hash; `unknown` if it named nobody, `other` past "
    "`labels.tenant.max`",
    "term": "what costs the joules: a `step`, a token (`prefill_token`, `decode_token`, `context_token`, "
    "`prompt_token`, `output_token`), a `request`, a `second` or `shared_second` (watts); `idle` is in watts",
    "uuid": "the vendor's identity of the device, empty where there is none",
    "version": "the exporter's version",
    "view": "who says so: `log`",
}
"""What every label means."""

_MODEL = ("server", "model")
_DEVICE = ("device", "kind", "uuid")
_NAMED_DEVICE = (*_DEVICE, "name")
_GROUND = (*_MODEL, "proxy", "ground")

# Requests

REQUEST_ENERGY = Family(
    "llm_request_energy_joules",
    "histogram",
    "Energy of one request. Under concurrent requests a share of the metered energy, by the attribution policy.",
    (*_MODEL, "method"),
    "Requests",
)
REQUEST_DURATION = Family(
    "llm_request_duration_seconds",
    "histogram",
    "Time from a request's start to its end, queueing excluded where the source can tell.",
    _MODEL,
    "Requests",
)
REQUEST_TIME_TO_FIRST_TOKEN = Family(
    "llm_request_time_to_first_token_seconds",
    "histogram",
    "Time from a request's arrival to its first output token, waiting included where the source can tell.",
    _MODEL,
    "Requests",
)
REQUEST_ENERGY_PER_OUTPUT_TOKEN = Family(
    "llm_request_energy_per_output_token_joules",
    "histogram",
    "Energy of one request over the tokens it generated.",
    (*_MODEL, "method"),
    "Requests",
)
REQUESTS = Family("llm_requests_total", "counter", "Settled requests.", (*_MODEL, "outcome"), "Requests")
TOKENS = Family("llm_tokens_total", "counter", "Tokens of settled requests.", (*_MODEL, "direction"), "Requests")
PHASE_ENERGY = Family(
    "llm_phase_energy_joules_total",
    "counter",
    "Energy of settled requests by phase, where the source tells when the first token came.",
    (*_MODEL, "phase"),
    "Requests",
)
RUNNING_REQUESTS = Family(
    "llm_running_requests",
    "gauge",
    "Requests that run now: by what was told of them (`log`), or as the server itself says (`server`).",
    ("server", "view"),
    "Requests",
)

# Power and energy

DEVICE_POWER = Family(
    "llm_device_power_watts",
    "gauge",
    "Latest power of the device, sampled on the exporter's own timer. Absent while its sensor is silent.",
    _NAMED_DEVICE,
    "Power and energy",
)
DEVICE_IDLE_POWER = Family(
    "llm_device_idle_power_watts",
    "gauge",
    "Power of the device with its model loaded and no request running, learned or configured. Absent until known.",
    _NAMED_DEVICE,
    "Power and energy",
)
DEVICE_ENERGY = Family(
    "llm_device_energy_joules_total",
    "counter",
    "Energy of the device as metered, integrated on the exporter's own timer.",
    _NAMED_DEVICE,
    "Power and energy",
)
ENERGY = Family(
    "llm_energy_joules_total",
    "counter",
    "Energy as booked. Over all shares, plus what is unsettled, it adds up to the meter, device by device.",
    (*_DEVICE, "share"),
    "Power and energy",
)
ENERGY_UNSETTLED = Family(
    "llm_energy_unsettled_joules",
    "gauge",
    "Energy metered but not booked yet, because news about its requests may still come.",
    _DEVICE,
    "Power and energy",
)
ENERGY_LATE = Family(
    "llm_energy_late_joules_total",
    "counter",
    "Energy that late requests were due but could not be given, because it was booked already. Part of other shares.",
    ("server",),
    "Power and energy",
)
TENANT_ENERGY = Family(
    "llm_tenant_energy_joules_total",
    "counter",
    "Energy of settled requests by tenant: whom they are billed to.",
    ("server", "tenant"),
    "Requests",
)
BUDGET_INFO = Family(
    "llm_energy_budget_info",
    "info",
    "Whom an energy budget covers; empty labels cover everybody.",
    ("budget", "per", "server", "model", "tenant"),
    "Budgets and carbon",
)
BUDGET = Family(
    "llm_energy_budget_joules",
    "gauge",
    "Energy that a budget allows, in its window or for a request.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_WINDOW = Family(
    "llm_energy_budget_window_seconds",
    "gauge",
    "Length of a budget's window. A budget per request has none.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_CONSUMED = Family(
    "llm_energy_budget_consumed_joules_total",
    "counter",
    "Energy charged to a budget: of the settled requests it covers, or all that is metered if it covers everything.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_OBJECTIVE = Family(
    "llm_energy_budget_objective_ratio",
    "gauge",
    "Share of requests that are to keep a budget per request.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_REQUESTS = Family(
    "llm_energy_budget_requests_total",
    "counter",
    "Settled requests charged to a budget per request.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_OVER = Family(
    "llm_energy_budget_requests_over_total",
    "counter",
    "Of these, requests that took more energy than the budget allows.",
    ("budget", "per"),
    "Budgets and carbon",
)
CARBON = Family(
    "llm_carbon_dioxide_equivalent_grams_total",
    "counter",
    "Modelled: energy of settled requests times the configured intensity of the grid and PUE.",
    ("server",),
    "Budgets and carbon",
)
CARBON_INTENSITY = Family(
    "llm_carbon_intensity_grams_per_joule",
    "gauge",
    "As configured: what the grid emits for a joule.",
    (),
    "Budgets and carbon",
)
PUE = Family(
    "llm_pue_ratio",
    "gauge",
    "As configured: the building's energy for each joule of the machine.",
    (),
    "Budgets and carbon",
)
POWER_SOURCE = Family(
    "llm_power_source_info",
    "info",
    "Where power comes from, and whether it is measured or estimated.",
    ("source", "counter", "method"),
    "Power and energy",
)
POWER_SENSOR_PERIOD = Family(
    "llm_power_sensor_period_seconds",
    "gauge",
    "Measured update period of the sensor behind the device's energy. Absent until measured.",
    _DEVICE,
    "Power and energy",
)
POWER_COUNTER_RATIO = Family(
    "llm_power_counter_ratio",
    "gauge",
    "Energy counter over integrated power in the latest full window: near 1 when both tell the truth.",
    _DEVICE,
    "Power and energy",
)

# Attribution

ATTRIBUTION_POLICY = Family(
    "llm_attribution_policy_info",
    "info",
    "The attribution policy in force. It differs from the configured one until that can be trusted.",
    ("server", "policy", "configured"),
    "Attribution",
)
ATTRIBUTION_COEFFICIENT = Family(
    "llm_attribution_coefficient",
    "gauge",
    "What the attribution policy learned: joules per step and per token of each kind; watts for idle.",
    ("server", "term"),
    "Attribution",
    "experimental",
)

# Time as a proxy

PROXY_ENERGY = Family(
    "llm_time_proxy_energy_joules_total",
    "counter",
    "Energy of settled requests as the proxy predicted it, each before it knew.",
    (*_MODEL, "proxy"),
    "Time as a proxy",
)
PROXY_SCORE = Family(
    "llm_time_proxy_score",
    "gauge",
    "How well the proxy's latest predictions did. Absent where a score is not defined yet.",
    (*_GROUND, "score"),
    "Time as a proxy",
)
PROXY_LIFETIME_SCORE = Family(
    "llm_time_proxy_lifetime_score",
    "gauge",
    "How well all of the proxy's predictions did, since the books began.",
    (*_GROUND, "score"),
    "Time as a proxy",
)
PROXY_SAMPLES = Family(
    "llm_time_proxy_samples_total",
    "counter",
    "Predictions that were held against energy.",
    _GROUND,
    "Time as a proxy",
)
PROXY_ERROR = Family(
    "llm_time_proxy_error_ratio",
    "histogram",
    "Predicted over actual energy: 1 is right, 2 is twice too much. Absent until the ground has a sample.",
    _GROUND,
    "Time as a proxy",
)
PROXY_DRIFT = Family(
    "llm_time_proxy_drift",
    "gauge",
    "How far recent errors have left their own history, in standard deviations. Absent while unknown.",
    _GROUND,
    "Time as a proxy",
    "experimental",
)
PROXY_DRIFTING = Family(
    "llm_time_proxy_drifting",
    "gauge",
    "1 if recent errors have left their own history further than chance would, else 0. Absent while unknown.",
    _GROUND,
    "Time as a proxy",
    "experimental",
)
PROXY_UNPREDICTED = Family(
    "llm_time_proxy_unpredicted_total",
    "counter",
    "Settled requests of which the proxy could say nothing: it had not learned, or the log lacks what it needs.",
    (*_MODEL, "proxy"),
    "Time as a proxy",
)
PROXY_COEFFICIENT = Family(
    "llm_time_proxy_coefficient",
    "gauge",
    "What the proxy learned: joules for each of what the term names.",
    (*_MODEL, "proxy", "term"),
    "Time as a proxy",
    "experimental",
)
PROXY_COEFFICIENT_ERROR = Family(
    "llm_time_proxy_coefficient_error",
    "gauge",
    "Standard error of the coefficient; 0 if it was given and not learned. Absent while unknown.",
    (*_MODEL, "proxy", "term"),
    "Time as a proxy",
    "experimental",
)

# The exporter itself

BUILD = Family("llm_energy_exporter_build_info", "info", "The exporter's version.", ("version",), "The exporter itself")
CPU_TIME = Family(
    "llm_energy_exporter_process_cpu_seconds_total",
    "counter",
    "User and system CPU time of the exporter.",
    (),
    "The exporter itself",
)
MEMORY = Family(
    "llm_energy_exporter_process_resident_memory_bytes",
    "gauge",
    "Resident memory of the exporter.",
    (),
    "The exporter itself",
)
START_TIME = Family(
    "llm_energy_exporter_process_start_time_seconds",
    "gauge",
    "When the exporter started, in seconds since the Unix epoch.",
    (),
    "The exporter itself",
)
SNAPSHOT_TIME = Family(
    "llm_energy_exporter_snapshot_timestamp_seconds",
    "gauge",
    "When the books shown here were made, in seconds since the Unix epoch.",
    (),
    "The exporter itself",
)
SOURCE_UP = Family(
    "llm_energy_exporter_source_up",
    "gauge",
    "1 if the last round of readings got an answer from any device, else 0.",
    ("source",),
    "The exporter itself",
)
SAMPLE_INTERVAL = Family(
    "llm_energy_exporter_sample_interval_seconds",
    "gauge",
    "Present time between readings: longer than configured while readings are slow.",
    ("source",),
    "The exporter itself",
)
SAMPLE_CALL = Family(
    "llm_energy_exporter_sample_call_seconds",
    "gauge",
    "Smoothed duration of one round of readings.",
    ("source",),
    "The exporter itself",
)
SAMPLES = Family(
    "llm_energy_exporter_samples_total", "counter", "Readings that arrived.", ("device",), "The exporter itself"
)
SAMPLE_ERRORS = Family(
    "llm_energy_exporter_sample_errors_total",
    "counter",
    "Readings that failed.",
    ("device", "reason"),
    "The exporter itself",
)
INTERPOLATED_ENERGY = Family(
    "llm_energy_exporter_interpolated_joules_total",
    "counter",
    "Energy taken from the counter across a gap in the readings: its sum is metered, its course in between is not.",
    ("device",),
    "The exporter itself",
)
GAP_TIME = Family(
    "llm_energy_exporter_gap_seconds_total",
    "counter",
    "Time for which no energy is known, because readings failed and no counter covers it.",
    ("device",),
    "The exporter itself",
)
METER_RESETS = Family(
    "llm_energy_exporter_meter_resets_total",
    "counter",
    "Times the device's energy counter went back.",
    ("device",),
    "The exporter itself",
)
METER_IN_USE = Family(
    "llm_energy_exporter_meter_in_use",
    "gauge",
    "1 if the device's energy comes from its counter, 0 where there is none or it is distrusted.",
    ("device",),
    "The exporter itself",
)
LOG_LINES = Family(
    "llm_energy_exporter_log_lines_total",
    "counter",
    "Lines of the server's log. A dropped line looked like a request's and could not be used.",
    ("server", "outcome", "reason"),
    "The exporter itself",
)
LOG_FILES = Family(
    "llm_energy_exporter_log_files", "gauge", "Log files followed now.", ("server",), "The exporter itself"
)
LOG_PROBLEMS = Family(
    "llm_energy_exporter_log_problems",
    "gauge",
    "Log files that cannot be read now. The landing page says why.",
    ("server",),
    "The exporter itself",
)
LOG_READ = Family(
    "llm_energy_exporter_log_read_bytes_total", "counter", "Bytes of log read.", ("server",), "The exporter itself"
)
LOG_ROTATIONS = Family(
    "llm_energy_exporter_log_rotations_total",
    "counter",
    "Log files seen to rotate.",
    ("server",),
    "The exporter itself",
)
LOG_LAG = Family(
    "llm_energy_exporter_log_lag_bytes", "gauge", "Bytes of log not read yet.", ("server",), "The exporter itself"
)
SETTLE_LAG = Family(
    "llm_energy_exporter_settle_lag_seconds",
    "gauge",
    "How long after its end a request's energy is booked now. Follows how late the log is.",
    ("server",),
    "The exporter itself",
)
CLOSINGS = Family(
    "llm_energy_exporter_closings_total",
    "counter",
    "Requests closed, by how they were seen to end.",
    ("server", "how"),
    "The exporter itself",
)
DUPLICATES = Family(
    "llm_energy_exporter_duplicates_total",
    "counter",
    "Starts or ends of requests heard twice and counted once.",
    ("server",),
    "The exporter itself",
)
ORPHANS = Family(
    "llm_energy_exporter_orphans_total",
    "counter",
    "Ends of requests whose start was never heard.",
    ("server",),
    "The exporter itself",
)
EVENT_UNCERTAINTY = Family(
    "llm_energy_exporter_event_uncertainty_seconds",
    "gauge",
    "How far off a request's start or end may be, as a running mean. Follows the precision of the log.",
    ("server", "edge"),
    "The exporter itself",
)
GAUGE_READINGS = Family(
    "llm_energy_exporter_server_readings_total",
    "counter",
    "Times a server's own metrics told how many requests run.",
    ("server",),
    "The exporter itself",
)
GAUGE_FAILURES = Family(
    "llm_energy_exporter_server_reading_failures_total",
    "counter",
    "Times a server's own metrics did not tell it, by reason.",
    ("server", "reason"),
    "The exporter itself",
)
LABEL_OVERFLOWS = Family(
    "llm_energy_exporter_label_overflows_total",
    "counter",
    "Times a label's bound was reached: a new `model` or `tenant` became `other`; a `proxy` had no room for a model.",
    ("label",),
    "The exporter itself",
)
CLOCK_STEPS = Family(
    "llm_energy_exporter_clock_steps_total",
    "counter",
    "Times somebody set the wall clock.",
    (),
    "The exporter itself",
)
CHECKPOINT_FAILURES = Family(
    "llm_energy_exporter_checkpoint_failures_total",
    "counter",
    "Times the state could not be saved.",
    (),
    "The exporter itself",
)
RECORDING_FAILURES = Family(
    "llm_energy_exporter_recording_failures_total",
    "counter",
    "Recordings that ended because they could not be written. Metering went on.",
    (),
    "The exporter itself",
)
WEB_GOOD = Family(
    "llm_energy_exporter_web_config_last_reload_successful",
    "gauge",
    "1: what stands in web.config_file, and in the certificates it names, is in force; 0: what stood there before is.",
    (),
    "The exporter itself",
)
WEB_CERTIFICATE = Family(
    "llm_energy_exporter_web_certificate_expiry_timestamp_seconds",
    "gauge",
    "When the exporter's own TLS certificate ceases to hold, in seconds since the Unix epoch.",
    (),
    "The exporter itself",
)
WEB_REFUSALS = Family(
    "llm_energy_exporter_web_refusals_total",
    "counter",
    "Requests to the exporter that were not let in, by reason.",
    ("reason",),
    "The exporter itself",
)
FAULTS = Family(
    "llm_energy_exporter_faults_total",
    "counter",
    "Exceptions that were caught and survived. Each one is a bug: please report it.",
    ("stage",),
    "The exporter itself",
)

CATALOGUE = (
    REQUEST_ENERGY,
    REQUEST_DURATION,
    REQUEST_TIME_TO_FIRST_TOKEN,
    REQUEST_ENERGY_PER_OUTPUT_TOKEN,
    REQUESTS,
    TOKENS,
    PHASE_ENERGY,
    RUNNING_REQUESTS,
    DEVICE_POWER,
    DEVICE_IDLE_POWER,
    DEVICE_ENERGY,
    ENERGY,
    ENERGY_UNSETTLED,
    ENERGY_LATE,
    TENANT_ENERGY,
    BUDGET_INFO,
    BUDGET,
    BUDGET_WINDOW,
    BUDGET_CONSUMED,
    BUDGET_OBJECTIVE,
    BUDGET_REQUESTS,
    BUDGET_OVER,
    CARBON,
    CARBON_INTENSITY,
    PUE,
    POWER_SOURCE,
    POWER_SENSOR_PERIOD,
    POWER_COUNTER_RATIO,
    ATTRIBUTION_POLICY,
    ATTRIBUTION_COEFFICIENT,
    PROXY_ENERGY,
    PROXY_SCORE,
    PROXY_LIFETIME_SCORE,
    PROXY_SAMPLES,
    PROXY_ERROR,
    PROXY_DRIFT,
    PROXY_DRIFTING,
    PROXY_UNPREDICTED,
    PROXY_COEFFICIENT,
    PROXY_COEFFICIENT_ERROR,
    BUILD,
    CPU_TIME,
    MEMORY,
    START_TIME,
    SNAPSHOT_TIME,
    SOURCE_UP,
    SAMPLE_INTERVAL,
    SAMPLE_CALL,
    SAMPLES,
    SAMPLE_ERRORS,
    INTERPOLATED_ENERGY,
    GAP_TIME,
    METER_RESETS,
    METER_IN_USE,
    LOG_LINES,
    LOG_FILES,
    LOG_PROBLEMS,
    LOG_READ,
    LOG_ROTATIONS,
    LOG_LAG,
    SETTLE_LAG,
    CLOSINGS,
    DUPLICATES,
    ORPHANS,
    EVENT_UNCERTAINTY,
    GAUGE_READINGS,
    GAUGE_FAILURES,
    LABEL_OVERFLOWS,
    CLOCK_STEPS,
    CHECKPOINT_FAILURES,
    RECORDING_FAILURES,
    WEB_GOOD,
    WEB_CERTIFICATE,
    WEB_REFUSALS,
    FAULTS,
)
"""In the order of the page."""
