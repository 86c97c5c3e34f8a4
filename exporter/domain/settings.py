"""The whole configuration as frozen values, with every default. What YAML may say is in exporter/config."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

PowerSourceName = Literal["auto", "nvml", "rapl", "cpu", "dcgm", "recording", "none"]
PolicyName = Literal["time", "tokens", "steps"]
ProxyName = Literal["time", "affine_time", "time_share", "tokens", "step_model", "peak"]
IdleRule = Literal["active", "exclude"]
StartAt = Literal["end", "beginning"]
ApiAccess = Literal["off", "recent"]
ProbeAccess = Literal["open", "closed"]

TOLD_OVER_HTTP = frozenset({"proxy", "otlp", "push"})
"""Sources that need no log: requests pass through us, or are told to us."""
NO_ENGINES = TOLD_OVER_HTTP | {"jsonl", "combined", "haproxy", "envoy", "litellm"}
"""Sources that tell of requests without being what serves them."""

ENERGY_BUCKETS = (
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    1e3,
    2e3,
    5e3,
    1e4,
    2e4,
    5e4,
    1e5,
    2e5,
    5e5,
    1e6,
)
DURATION_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
TOKEN_ENERGY_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)


@dataclass(frozen=True, slots=True)
class CpuEstimate:
    """Watts of the `cpu` estimate: idle + (max - idle) x utilisation. None: scaled to the machine's cores."""

    idle_watts: float | None = None
    max_watts: float | None = None


@dataclass(frozen=True, slots=True)
class DcgmSettings:
    """Where a dcgm-exporter is asked, and which of its GPUs are meant.

    Attributes:
        url: of its page.
        host: of which host, where it tells of several.
        pod: those GPUs only that Kubernetes gave to this pod. namespace: the pod's; None: any.
        timeout_seconds: after which no answer is expected any more.
        wait_seconds: so long the page and its GPUs may take to be there at the start.
        collect_seconds: between two of its collections, at the most.
        token_file: of a bearer token. user, password_file: or for basic authentication.
        ca_file: whom its certificate must come from; None: whom this machine trusts.
    """

    url: str | None = None
    host: str | None = None
    pod: str | None = None
    namespace: str | None = None
    timeout_seconds: float = 2.0
    wait_seconds: float = 0.0
    collect_seconds: float = 30.0
    token_file: str | None = None
    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class PlayedRecording:
    """What source `recording` plays. `path`: the file, None where it plays nothing. `loop`: again and again."""

    path: str | None = None
    loop: bool = False


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """Where power comes from.

    Attributes:
        source: one source, or several that run side by side (`nvml` and `rapl`); `none` meters nothing.
        interval_seconds: between polls, at the fastest.
        gpus: `all`, or indices, UUIDs and PCI bus ids as text.
        cpu, dcgm, recording: what sources `cpu`, `dcgm` and `recording` go by.
        idle_watts: by device name; overrules what is learned.
    """

    source: tuple[PowerSourceName, ...] = ("auto",)
    interval_seconds: float = 0.05
    gpus: Literal["all"] | tuple[str, ...] = "all"
    cpu: CpuEstimate = CpuEstimate()
    dcgm: DcgmSettings = DcgmSettings()
    recording: PlayedRecording = PlayedRecording()
    idle_watts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KubernetesLog:
    """A container's log, to be read from the Kubernetes API.

    Attributes:
        pod: its pod by name, or None: by `selector`, a label selector that may find several and their successors.
        node: of these only pods on this node. None: on all.
        namespace: None: the namespace that we run in. container: None: the pod's only one.
        api: the API server's URL, None: the one of the cluster that we run in; with the files below.
        token_file, ca_file: None: those of our service account.
    """

    pod: str | None = None
    selector: str | None = None
    node: str | None = None
    namespace: str | None = None
    container: str | None = None
    api: str | None = None
    token_file: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """One place where a server's requests are told.

    Attributes:
        source: a source's name: `vllm`, `jsonl`, `proxy`, `otlp`, ...
        path: files to follow, each a path or a glob; `-` is standard input. Empty: standard input for a log reader,
            nothing for a source that is told over HTTP.
        kubernetes: the log is read from the Kubernetes API instead.
        start_at: where to begin in a log that is there before us and was never read.
        timezone: of stamps that have none: an IANA name, or None for this machine's.
        options: what only this source understands (jsonl: `profile`, `fields`, ...), checked by it.
    """

    source: str
    path: tuple[str, ...] = ()
    start_at: StartAt = "end"
    timezone: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    kubernetes: KubernetesLog | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One inference server.

    Attributes:
        requests: where its requests are told. A request that several of them tell of is one; of two that contradict
            each other the one that stands first is believed.
        model: a fixed name, or None to take it from the log.
        gpus: as in PowerSettings.
        calibration: a calibration file, from which its energy is estimated where no device that is metered serves it.
        about: what only its operator knows of it and a calibration should say: keys `engine`, `dtype`, `parallelism`.
        metrics_url: the server's own `/metrics`, asked how many requests run, as a check on those told.
    """

    name: str
    requests: tuple[RequestSettings, ...]
    model: str | None = None
    gpus: Literal["all"] | tuple[str, ...] = "all"
    calibration: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)
    metrics_url: str | None = None


@dataclass(frozen=True, slots=True)
class AttributionSettings:
    """How energy is split.

    Attributes:
        policy: which rule. idle: whether requests bear the static power while they run (`active`) or not (`exclude`).
        slice_seconds: grain of the ledger. settle_seconds: least time after its end that a request settles.
        horizon_seconds: how long a slice waits for late news.
    """

    policy: PolicyName = "steps"
    idle: IdleRule = "active"
    slice_seconds: float = 0.1
    settle_seconds: float = 2.0
    horizon_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """How proxies are scored. `window_seconds`: length of the windows of ground `window`."""

    window_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """Bounds of the histograms, ascending."""

    energy: tuple[float, ...] = ENERGY_BUCKETS
    duration: tuple[float, ...] = DURATION_BUCKETS
    energy_per_token: tuple[float, ...] = TOKEN_ENERGY_BUCKETS


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """By what requests are told apart for the bill, where a source sees it.

    Attributes:
        header: the request header that names the tenant. None: nobody is told apart by a header.
        api_key: without such a header, tell tenants apart by a hash of the API key.
        max: so many tenants are told apart on a server; those after them are `other`.
    """

    header: str | None = None
    api_key: bool = False
    max: int = 100


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Labels that a source may fill."""

    tenant: TenantSettings = TenantSettings()


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """An energy budget.

    Attributes:
        joules: so much energy, in a window or for a request. window_seconds: the window; None: for each request.
        server, model, tenant: whose requests it covers; None: everybody's. One of a window that names none of them
            covers all that is metered, idle included.
        objective: of a budget per request: the share of requests that are to keep it.
    """

    name: str
    joules: float
    window_seconds: float | None
    server: str | None = None
    model: str | None = None
    tenant: str | None = None
    objective: float = 0.99


@dataclass(frozen=True, slots=True)
class CarbonSettings:
    """By what joules become grams. `grams_per_kilowatt_hour`: of the grid, None: unknown. `pue`: of the building."""

    grams_per_kilowatt_hour: float | None = None
    pue: float = 1.0


@dataclass(frozen=True, slots=True)
class ComponentsSettings:
    """What was found out about models beforehand. `results`: files of `components`, each a path or a glob."""

    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to serve. Port 0 takes a free one."""

    host: str = "0.0.0.0"  # noqa: S104 - an exporter is there to be scraped from outside its pod
    port: int = 9460


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Who may ask us what.

    Attributes:
        config_file: TLS, clients' certificates and passwords, as Prometheus' exporters have them. None: everybody may.
        api: whether single requests are told of. probes: whether a probe needs what everything else needs.
    """

    config_file: str | None = None
    api: ApiAccess = "recent"
    probes: ProbeAccess = "open"


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. `state_dir` None keeps nothing across restarts."""

    servers: tuple[ServerSettings, ...] = ()
    listen: ListenAddress = ListenAddress()
    power: PowerSettings = PowerSettings()
    attribution: AttributionSettings = AttributionSettings()
    proxies: tuple[ProxyName, ...] = get_args(ProxyName)
    scoring: ScoringSettings = ScoringSettings()
    buckets: BucketSettings = BucketSettings()
    labels: LabelSettings = LabelSettings()
    budgets: tuple[BudgetSettings, ...] = ()
    carbon: CarbonSettings = CarbonSettings()
    components: ComponentsSettings = ComponentsSettings()
    state_dir: str | None = None
    web: WebSettings = WebSettings()
