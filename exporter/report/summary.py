"""From accounts to a report. Pure: values in, values out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.domain.readings import Method
from exporter.report.account import Account
from exporter.report.footprint import Line


@dataclass(frozen=True, slots=True)
class Standing:
    """A row of the leaderboard: one model on one kind of GPU by one engine. None: not known.

    Attributes:
        model, hardware, engine, method: what is compared. hardware: `2 x NVIDIA H100`; empty where not known.
        servers: whose figures were added up.
        requests: settled ones with energy. output_tokens: of all settled.
        joules: of these requests.
        joules_per_request, joules_per_request_p50, joules_per_request_p95: mean, median and 95th percentile.
        joules_per_output_token: joules over output tokens, all requests together.
        latency_p50_seconds, latency_p95_seconds: of durations.
        idle_share: idle energy over metered energy of its devices.
    """

    model: str
    hardware: str
    engine: str
    method: Method | None
    servers: tuple[str, ...]
    requests: int
    output_tokens: int
    joules: float | None
    joules_per_request: float | None
    joules_per_request_p50: float | None
    joules_per_request_p95: float | None
    joules_per_output_token: float | None
    latency_p50_seconds: float | None
    latency_p95_seconds: float | None
    idle_share: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """All devices and all requests of an account together.

    Attributes:
        metered_joules, request_joules, idle_joules, unattributed_joules, unsettled_joules: the books' rows, summed.
        requests: by outcome. input_tokens, output_tokens: of settled requests.
        methods: how these joules came to be known.
    """

    metered_joules: float
    request_joules: float
    idle_joules: float
    unattributed_joules: float
    unsettled_joules: float
    requests: Mapping[str, int]
    input_tokens: int
    output_tokens: int
    methods: tuple[Method, ...]


@dataclass(frozen=True, slots=True)
class Sci:
    """SCI for AI (Green Software Foundation): (energy x intensity + embodied) per functional unit: a token.

    Attributes:
        grams_per_token: of CO2 equivalent. joules_per_token: all metered energy over output tokens, times PUE and host
            factors. embodied_grams: the share of making the hardware, as given; 0 where it was left out.
        notes: what is in it and what is not.
    """

    grams_per_token: float
    joules_per_token: float
    embodied_grams: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two accounts. `ratio`: second over first; None where that is not defined."""

    name: str
    unit: str
    first: float | None
    second: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two accounts side by side. `caution`: why they may not be comparable; empty where nothing speaks against it."""

    first: str
    second: str
    overall: Sequence[Difference]
    models: Mapping[str, Sequence[Difference]]
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A published figure beside the user's own.

    Attributes:
        model, hardware, engine, batch: what was measured. joules_per_output_token: GPUs only.
        source: who published it, when, under which licence.
        modelled: by a formula; not measured.
    """

    model: str
    hardware: str
    engine: str
    batch: int
    joules_per_output_token: float
    source: str
    modelled: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is rendered, in order.

    Attributes:
        account: what it is about. totals, standings: worked out of it.
        footprint: units, cost, carbon; each line with its factor and source.
        sci: None where no intensity is known. comparison: None where nothing is compared.
        references: published figures.
        made: Unix seconds. version: of the exporter that made it.
        notices: licences that must stand beside what is shown.
    """

    account: Account
    totals: Totals
    standings: Sequence[Standing]
    footprint: Sequence[Line]
    sci: Sci | None
    comparison: Comparison | None
    references: Sequence[Reference]
    made: float
    version: str
    notices: Sequence[str] = ()
