"""What the pipeline knows at one instant: frozen, shared by every scraper and page. Reading it changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Literal

from exporter.domain.events import Closing, Outcome
from exporter.domain.readings import Device, Method
from exporter.domain.settings import BudgetSettings, ProxyName
from exporter.domain.units import Instant, Joules, Watts
from exporter.domain.value import value

Share = Literal["requests", "idle", "unattributed"]
Phase = Literal["prefill", "decode"]
Direction = Literal["input", "output"]
Ground = Literal["isolated", "window", "request"]
"""Where a proxy is held against energy: requests that ran alone and windows of time, whose energy is metered; and
attributed shares, which are a matter of the rule that shares them."""
ScoreName = Literal["r2", "mape", "bias", "pearson", "spearman"]


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One request that fell into a bucket. `trace_id`: of its trace, if it is known to have one."""

    request_id: str
    value: float
    at: Instant
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """A histogram.

    Attributes:
        bounds: upper bounds of the buckets, ascending, without the infinite one.
        counts: observations per bucket, not cumulated; one longer than `bounds`.
        sum: sum of all observations.
        exemplars: the latest request of each bucket, or None; as long as `counts`.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float
    exemplars: tuple[Exemplar | None, ...]


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device and its books. metered = sum(booked) + unsettled, to rounding.

    Attributes:
        power_watts: latest power; None while the sensor is silent.
        idle_watts: learned or configured power with no request running; None until learned.
        metered_joules: as metered since the books began.
        booked: as booked, by share.
        unsettled_joules: metered, in slices still open.
        sensor_period_seconds: measured update period of what the energy comes from; None until measured.
        counter_ratio: energy counter over integrated power in the latest full window; None where one is missing.
        counter_in_use: whether the energy comes from the counter; False where there is none or it is distrusted.
        interpolated_joules: metered from the counter across a gap in the readings.
        gap_seconds: time for which no energy is known, because readings failed and no counter covers it.
        counter_resets: times the counter went back.
        readings: readings that arrived. failures: those that failed, by reason.
    """

    device: Device
    power_watts: Watts | None
    idle_watts: Watts | None
    metered_joules: Joules
    booked: Mapping[Share, Joules]
    unsettled_joules: Joules
    sensor_period_seconds: float | None
    counter_ratio: float | None
    counter_in_use: bool
    interpolated_joules: Joules
    gap_seconds: float
    counter_resets: int
    readings: int
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ModelView:
    """All settled requests of one model on one server."""

    server: str
    model: str
    requests: Mapping[Outcome, int]
    tokens: Mapping[Direction, int]
    energy: Mapping[Method, HistogramValue]
    energy_per_output_token: Mapping[Method, HistogramValue]
    duration: HistogramValue
    time_to_first_token: HistogramValue
    phase_joules: Mapping[Phase, Joules]


@dataclass(frozen=True, slots=True)
class ScoreView:
    """How a proxy did on one ground, by predictions made before it knew.

    Scores are left out where they are not defined (too few samples, nothing varies).

    Attributes:
        samples: predictions held against energy since the books began.
        recent: scores over the latest of them. lifetime: over all. `r2`: 1 - residual over total sum of squares, below
            0 where the mean would have done better; `mape`: mean of |error| / actual; `bias`: sum of errors over sum of
            actual; `pearson`, `spearman`: correlations.
        error_ratio: predicted / actual.
        drift: how far recent errors have left their own history, in standard deviations; None while unknown.
        drifting: whether that is too far to be chance.
    """

    samples: int
    recent: Mapping[ScoreName, float]
    lifetime: Mapping[ScoreName, float]
    error_ratio: HistogramValue
    drift: float | None = None
    drifting: bool = False


@dataclass(frozen=True, slots=True)
class CoefficientView:
    """A number that a proxy learned. `error`: its standard error; infinite while unknown."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class ProxyView:
    """One proxy for one model on one server.

    Attributes:
        predicted_joules: sum of its predictions. unpredicted: requests of which it could say nothing.
        coefficients: what it learned, by term.
        scores: by ground; a ground on which nothing was scored yet has 0 samples.
    """

    server: str
    model: str
    proxy: ProxyName
    predicted_joules: Joules
    unpredicted: int
    coefficients: Mapping[str, CoefficientView]
    scores: Mapping[Ground, ScoreView]


@dataclass(frozen=True, slots=True)
class ServerView:
    """One inference server as its requests tell it.

    Attributes:
        running: requests known to run now.
        running_by_server: how many the server itself says run; None where it is not asked, or does not say.
        late_joules: what late requests were due but could not be given, because it was booked already.
        closings: requests closed, by how they were seen to end.
        duplicates: ends or starts heard twice and counted once.
        orphans: ends whose start was never heard.
        settle_seconds: how long after its end a request settles now; follows the source.
        uncertainty_seconds: running means of how far off starts and ends may be: keys `start`, `end`.
        policy: the attribution policy in force, e.g. `time`. wanted_policy: the configured one.
        policy_reason: why they differ; empty where they do not.
        coefficients: what the policy learned: joules a `step` and a token of each kind; watts `idle`.
        tenants: joules by tenant, `unknown` and `other` included; nobody where no request ever named one.
        engine: what serves it, as its operator or else its request source calls it; empty where neither says.
        devices: by name, those that work for it.
    """

    server: str
    running: int
    late_joules: Joules
    closings: Mapping[Closing, int]
    duplicates: int
    orphans: int
    settle_seconds: float
    uncertainty_seconds: Mapping[Literal["start", "end"], float]
    policy: str
    wanted_policy: str
    policy_reason: str
    coefficients: Mapping[str, float]
    running_by_server: float | None = None
    tenants: Mapping[str, Joules] = field(default_factory=dict)
    engine: str = ""
    devices: tuple[str, ...] = ()


@value
class SettledRequest:
    """A request whose energy is booked.

    Attributes:
        joules: all of it; an estimate where `method` is `time_proxy`; NaN where nothing meters or estimates it, and
            then `method` says nothing. joules_by_device: the same by device name.
        late_joules: what it was due beyond that, but had been booked already.
        concurrency: how many requests were there while it was, itself included, on average.
        metered_joules: its energy as metered, where it ran alone and long enough to be metered; else None.
        predicted: what each proxy said before it knew; those that could not say are left out.
        interval: of an estimate: (low, high), where nine of ten true values are to lie; None where metered.
        tenant, trace_id: whose it was, and its trace, where a source told.
    """

    server: str
    model: str
    id: str
    start: Instant
    end: Instant
    outcome: Outcome
    method: Method
    joules: Joules
    joules_by_device: Mapping[str, Joules]
    late_joules: Joules
    prompt_tokens: int | None
    output_tokens: int | None
    time_to_first_token_seconds: float | None
    queued_seconds: float
    concurrency: float = 1.0
    metered_joules: Joules | None = None
    predicted: Mapping[ProxyName, Joules] = field(default_factory=dict)
    interval: tuple[Joules, Joules] | None = None
    tenant: str | None = None
    trace_id: str | None = None

    @property
    def has_energy(self) -> bool:
        """Whether anything is known of its energy."""
        return not isnan(self.joules)


@dataclass(frozen=True, slots=True)
class BudgetView:
    """One energy budget.

    Attributes:
        settings: what it allows, and to whom.
        consumed_joules: charged to it since the books began.
        requests: charged to it. over: of these, those that took more than a budget per request allows.
    """

    settings: BudgetSettings
    consumed_joules: Joules
    requests: int
    over: int


@dataclass(frozen=True, slots=True)
class CarbonView:
    """What attributed energy emitted, by configured figures.

    Attributes:
        grams: by server, of carbon dioxide equivalent. grams_per_joule: of the grid; None: nothing is worked out.
        pue: by what a joule of the machine is multiplied for the building it stands in.
    """

    grams: Mapping[str, float] = field(default_factory=dict)
    grams_per_joule: float | None = None
    pue: float = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, at `at`. `since`: when the books began, before a restart that took them up; None: not known."""

    at: Instant
    devices: tuple[DeviceView, ...]
    models: tuple[ModelView, ...]
    servers: tuple[ServerView, ...]
    recent: tuple[SettledRequest, ...] = ()
    proxies: tuple[ProxyView, ...] = ()
    label_overflows: Mapping[str, int] = field(default_factory=dict)
    budgets: tuple[BudgetView, ...] = ()
    carbon: CarbonView = CarbonView()
    since: Instant | None = None
