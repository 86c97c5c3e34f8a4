"""What a configuration file may say: the table of keys from which it is read, checked and documented."""

import re
from typing import get_args

from exporter.config import checks, kinds, quantities
from exporter.config.checks import Readers
from exporter.config.sections import Key, ListOf, Section
from exporter.domain.settings import (
    ApiAccess,
    AttributionSettings,
    BucketSettings,
    BudgetSettings,
    CarbonSettings,
    ComponentsSettings,
    CpuEstimate,
    DcgmSettings,
    IdleRule,
    KubernetesLog,
    LabelSettings,
    PlayedRecording,
    PolicyName,
    PowerSettings,
    PowerSourceName,
    ProbeAccess,
    ProxyName,
    RequestSettings,
    ScoringSettings,
    ServerSettings,
    Settings,
    StartAt,
    TenantSettings,
    WebSettings,
)

ABOUT = ("engine", "dtype", "parallelism")
"""What of a server only its operator knows."""

_STATE_DIR = kinds.Scalar("directory", "a directory", kinds.text().convert, lambda value: value or "nothing is kept")
_URL = kinds.url()
_CALIBRATION = kinds.Scalar("file", "a file", kinds.text().convert, lambda value: value or "none")


def _optional(allowed: str, otherwise: str = "none") -> kinds.Scalar:
    return kinds.Scalar("text", allowed, kinds.text().convert, lambda value: value or otherwise)


POWER_CPU = Section(
    CpuEstimate,
    (
        Key("idle_watts", quantities.watts(), "the CPU's power at rest, for the estimate of source `cpu`"),
        Key("max_watts", quantities.watts(), "the CPU's power at full load, for the same estimate"),
    ),
    checks=(checks.idle_below_max,),
)

POWER_DCGM = Section(
    DcgmSettings,
    (
        Key("url", _URL, "of dcgm-exporter's page, such as http://NODE:9400/metrics; source `dcgm` needs it"),
        Key("host", _optional("a host's name", "the only one"), "whose GPUs, where the page tells of several hosts"),
        Key("pod", _optional("a pod's name", "every GPU"), "only the GPUs that Kubernetes gave to this pod"),
        Key("namespace", _optional("a namespace", "any"), "the pod's namespace"),
        Key("timeout", quantities.duration("100ms", "1m"), "how long an answer may take", "timeout_seconds"),
        Key(
            "wait",
            quantities.duration("0s", "1h"),
            "how long the page and the GPUs on it may take to be there when the exporter starts",
            "wait_seconds",
        ),
        Key(
            "collect_interval",
            quantities.duration("100ms", "10m"),
            "the longest time between its collections that is no fault (its `--collect-interval`)",
            "collect_seconds",
        ),
        Key("token_file", _optional("a file"), "where a bearer token is, read at each connection"),
        Key("user", _optional("a name"), "or for basic authentication"),
        Key("password_file", _optional("a file"), "where the user's password is"),
        Key("ca_file", _optional("a file", "whom this machine trusts"), "what its certificate is checked against"),
    ),
    checks=(checks.one_way_to_be_let_in,),
)

POWER_RECORDING = Section(
    PlayedRecording,
    (
        Key("path", _optional("a file"), "the recording that source `recording` plays: what its devices said then"),
        Key("loop", kinds.truth(), "play it again and again, with counters that go on; else its devices fall silent"),
    ),
)

POWER = Section(
    PowerSettings,
    (
        Key(
            "source",
            kinds.Many(kinds.choice(get_args(PowerSourceName))),
            "where power is read; `auto` takes the first that works of `nvml`, `rapl`, `cpu`, but where every server "
            "has a calibration only `nvml`, or else `none`; `dcgm` asks a dcgm-exporter (see DCGM.md); `recording` "
            "plays a recorded session; `none` meters nothing; a list runs several side by side",
        ),
        Key("interval", quantities.duration("10ms", "1m"), "time between readings, at the fastest", "interval_seconds"),
        Key("gpus", kinds.Many(kinds.gpu(), all_word="all"), "which GPUs are metered"),
        Key("cpu", POWER_CPU, "the estimate that source `cpu` makes"),
        Key("dcgm", POWER_DCGM, "the dcgm-exporter that source `dcgm` asks"),
        Key("recording", POWER_RECORDING, "a recorded session instead of a sensor (see RECORDINGS.md)"),
        Key(
            "idle_watts",
            kinds.Table(quantities.watts(), re.compile(r"(?:gpu|cpu|dram)[0-9]{1,4}"), "gpu0"),
            "power with the model loaded and no request running, e.g. `{gpu0: 60}`; overrules what is learned",
        ),
    ),
    checks=(checks.sources_go_together, checks.recording_is_named, checks.dcgm_is_named),
)

ATTRIBUTION = Section(
    AttributionSettings,
    (
        Key("policy", kinds.choice(get_args(PolicyName)), "the rule by which concurrent requests share energy"),
        Key(
            "idle",
            kinds.choice(get_args(IdleRule)),
            "`active`: requests bear the static power while they run; `exclude`: it stays idle energy",
        ),
        Key("slice", quantities.duration("10ms", "1s"), "grain of the ledger", "slice_seconds"),
        Key(
            "settle",
            quantities.duration("10ms", "1h"),
            "least time after its end that a request settles",
            "settle_seconds",
        ),
        Key(
            "horizon",
            quantities.duration("1s", "7d"),
            "how long energy waits for late news of requests",
            "horizon_seconds",
        ),
    ),
    checks=(checks.times_go_together,),
)

SCORING = Section(
    ScoringSettings,
    (
        Key(
            "window",
            quantities.duration("5s", "1h", grain="5s"),
            "length of the windows of time in which predictions are held against metered energy",
            "window_seconds",
        ),
    ),
)

_BOUNDS = kinds.Ascending(kinds.number(), at_most=100)

BUCKETS = Section(
    BucketSettings,
    (
        Key("energy", _BOUNDS, "upper bounds of `llm_request_energy_joules`, in joules"),
        Key("duration", _BOUNDS, "upper bounds of the histograms of seconds, in seconds"),
        Key(
            "energy_per_token",
            _BOUNDS,
            "upper bounds of `llm_request_energy_per_output_token_joules`, in joules",
        ),
    ),
)

BUDGET = Section(
    BudgetSettings,
    (
        Key("name", kinds.text("a name", at_most=128), "the label `budget`", required=True),
        Key("energy", quantities.energy(), "so much, in each window or for each request", "joules", required=True),
        Key(
            "per",
            quantities.window("request", "1m", "366d"),
            "the window, such as 1d; `request`: for each request",
            "window_seconds",
            required=True,
        ),
        Key("server", _optional("a server's name", "every"), "whose requests it covers"),
        Key("model", _optional("a model's name", "every"), "whose requests it covers"),
        Key("tenant", _optional("a tenant", "every"), "whose requests it covers"),
        Key("objective", kinds.share(), "of a budget per request: the share of requests that are to keep it"),
    ),
)

CARBON = Section(
    CarbonSettings,
    (
        Key(
            "intensity",
            kinds.number("grams a kilowatt-hour, above 0"),
            "of the grid, in grams of CO2 equivalent a kilowatt-hour; without it nothing is worked out",
            "grams_per_kilowatt_hour",
        ),
        Key(
            "pue", kinds.at_least(1.0), "power usage effectiveness: the building's energy for each joule of the machine"
        ),
    ),
)

COMPONENTS = Section(
    ComponentsSettings,
    (
        Key(
            "results",
            kinds.Many(kinds.text("a path or glob"), may_be_empty=True),
            "result files of `components`, or globs: served as `llm_component_*`, read again when they change",
        ),
    ),
)

TENANT = Section(
    TenantSettings,
    (
        Key("header", _optional("an HTTP header's name"), "the request header that names the tenant"),
        Key("api_key", kinds.truth(), "tell tenants apart by a hash of their API key, where there is no such header"),
        Key("max", kinds.whole(1, 10_000), "so many tenants on a server; those after them are `other`"),
    ),
)
LABELS = Section(LabelSettings, (Key("tenant", TENANT, "who is billed, where a source sees it"),))

KUBERNETES = Section(
    KubernetesLog,
    (
        Key("pod", _optional("a pod's name"), "the pod"),
        Key(
            "selector",
            _optional("a label selector"),
            "or all pods that this label selector finds, and their successors",
        ),
        Key(
            "node", _optional("a node's name", "all"), "of these only pods on this node, whose devices are metered here"
        ),
        Key("namespace", _optional("a namespace", "our own"), "its namespace"),
        Key("container", _optional("a container's name", "the only one"), "its container"),
        Key("api", _URL, "the API server, if it is not the one of the cluster that this runs in"),
        Key(
            "token_file",
            _optional("a file", "our service account's"),
            "where the bearer token is, read at each connection",
        ),
        Key(
            "ca_file",
            _optional("a file", "our service account's"),
            "what the API server's certificate is checked against",
        ),
    ),
    checks=(checks.pod_or_selector,),
)


WEB = Section(
    WebSettings,
    (
        Key(
            "config_file",
            _optional("a file", "everybody may ask"),
            "TLS, clients' certificates and passwords in Prometheus' own format (see SECURITY.md), read again when it "
            "changes",
        ),
        Key(
            "api",
            kinds.choice(get_args(ApiAccess)),
            "`recent`: `/api/v1/requests` lists recent requests with their ids; `off`: none is told of there",
        ),
        Key(
            "probes",
            kinds.choice(get_args(ProbeAccess)),
            "`open`: `/-/healthy` and `/-/ready` need neither password nor client certificate; `closed`: as all else",
        ),
    ),
)


def layout(readers: Readers) -> Section:
    """The whole file, for these request readers."""
    return Section(
        Settings,
        (
            Key("listen", quantities.address(), "where `/metrics` is served; port 0 takes a free one"),
            Key("web", WEB, "who may ask, and what they are told"),
            Key("power", POWER, "where power comes from"),
            Key("servers", ListOf(_server(readers)), "the inference servers on this machine"),
            Key("attribution", ATTRIBUTION, "how energy is shared among requests"),
            Key(
                "proxies",
                kinds.Many(kinds.choice(get_args(ProxyName)), may_be_empty=True),
                "the time proxies to predict with and score; `[]` for none",
            ),
            Key("scoring", SCORING, "how proxies are scored"),
            Key("buckets", BUCKETS, "bounds of the histograms"),
            Key("labels", LABELS, "labels that a source may fill"),
            Key("budgets", ListOf(BUDGET), "energy budgets, for metrics, dashboards and alerts"),
            Key("carbon", CARBON, "by what joules become grams of carbon dioxide: configured, so modelled"),
            Key("components", COMPONENTS, "energy of models' components, as measured beforehand"),
            Key("state_dir", _STATE_DIR, "where books, baselines and log offsets are kept across restarts"),
        ),
        checks=(
            checks.names_are_unique,
            checks.standard_input_is_read_once,
            checks.gpus_are_metered,
            checks.nothing_metered_serves_nobody,
            checks.budgets_are_of_somebody,
        ),
    )


def _server(readers: Readers) -> Section:
    return Section(
        ServerSettings,
        (
            Key("name", kinds.text("a name", at_most=128), "the label `server`", required=True),
            Key("model", kinds.model(), "the label `model`; `auto` takes it from the log"),
            Key("gpus", kinds.Many(kinds.gpu(), all_word="all"), "the GPUs that serve it, of those metered"),
            Key(
                "calibration",
                _CALIBRATION,
                "a file from `calibrate export`: energy is estimated from it where no metered device serves it",
            ),
            Key("about", kinds.Texts(ABOUT), "what only you know of it and a calibration made here should say"),
            Key(
                "requests",
                ListOf(_requests(readers), or_one=True),
                "where its requests are told; of several places, each request counts once, and the first is believed",
                required=True,
            ),
            Key("metrics_url", _URL, "the server's own `/metrics`, asked how many requests run, as a check on the log"),
        ),
    )


def _requests(readers: Readers) -> Section:
    return Section(
        RequestSettings,
        (
            Key("source", _reader(readers), "the reader that understands the log", required=True),
            Key(
                "path",
                kinds.Many(kinds.text("a path or glob"), none="`-`, or none where requests come over HTTP"),
                "files to follow, or globs; `-` is standard input",
            ),
            Key(
                "start",
                kinds.choice(get_args(StartAt)),
                "where to begin in a file that is there before us and was never read",
                "start_at",
            ),
            Key("timezone", kinds.timezone(), "of stamps that name none"),
            Key("kubernetes", KUBERNETES, "read the log of a container from the Kubernetes API, instead of files"),
        ),
        rest="options",
        checks=(checks.options_suit_the_reader(readers), checks.one_way_in),
    )


def _reader(readers: Readers) -> kinds.Scalar:
    known = sorted(readers)
    of = kinds.choice(known)
    return kinds.Scalar("a source's name", of.allowed, of.convert)
