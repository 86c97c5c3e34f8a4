"""How this process and what it reads are doing, and with the books: what is published. Frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from exporter.domain.dissection import Dissection
from exporter.domain.readings import Method
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import Instant

GaugeFailure = Literal["unreachable", "timeout", "status", "too_large", "unreadable", "unknown"]
"""Why a server's own metrics told nothing; `unknown`: none of them is known here."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """How one power source is doing.

    Attributes:
        name: `nvml`, `rapl`, `cpu`. counter: whether an energy counter is read.
        interval_seconds: the present time between polls, longer than configured while its calls are slow.
        call_seconds: smoothed duration of one round of calls.
        up: whether its last round got an answer from any device.
        refusals: why sources tried before it were not used, by name.
    """

    name: str
    counter: bool
    method: Method
    interval_seconds: float
    call_seconds: float
    up: bool
    refusals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogView:
    """How reading one server's log is going.

    Attributes:
        lines: by (`used`, ``) or (`ignored` | `dropped`, reason).
        files: followed now. bytes: read since start. rotations: files seen to rotate. lag_bytes: not read yet.
        problems: by path, what keeps a file from being read, in words for a person.
    """

    server: str
    lines: Mapping[tuple[str, str], int]
    files: int
    bytes: int
    rotations: int
    lag_bytes: int
    problems: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GaugeView:
    """How asking one server for its own metrics is going. `readings`: answers; `failures`: those that were none."""

    server: str
    readings: int
    failures: Mapping[GaugeFailure, int]


Refused = Literal[
    "no_password", "wrong_password", "no_certificate", "other_certificate", "rate_limit", "too_many_passwords"
]
"""Why somebody was not let in."""


@dataclass(frozen=True, slots=True)
class WebView:
    """Who may ask us, where a web configuration file says so.

    Attributes:
        good: what stands in it now is in force; if not, what stood there before is.
        certificate_ends: when our certificate ceases to hold, in seconds since the Unix epoch; None if unknown.
        refused: requests that were not let in, by reason.
    """

    good: bool
    certificate_ends: float | None = None
    refused: Mapping[Refused, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DissectionsView:
    """What result files of `components` say, where any are configured.

    Attributes:
        dissections: those that are shown. left_out: how many are not, for want of room.
        files: that are served. problems: by path, why one is not, in words for a person.
    """

    dissections: tuple[Dissection, ...] = ()
    left_out: int = 0
    files: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Health:
    """The exporter's own state, beside the data and never mixed with it.

    Attributes:
        cpu_seconds: user and system time of this process. memory_bytes: resident. start: when it started.
        clock_steps: times somebody set the wall clock. checkpoint_failures: times the state could not be saved.
        recording_failures: recordings that ended because they could not be written.
        faults: exceptions caught by the supervisor, by stage: each one a bug.
        web: None where everybody may ask us.
        dissections: None where no result files are configured.
        passed_over: power sources that `auto` would rather have taken, each with why it does not work, in a word.
        recording: what is shown was recorded, when and on what, in words; empty: it is live.
    """

    version: str
    start: Instant
    cpu_seconds: float
    memory_bytes: int
    clock_steps: int
    checkpoint_failures: int
    sources: tuple[SourceView, ...]
    logs: tuple[LogView, ...]
    faults: Mapping[str, int] = field(default_factory=dict)
    recording_failures: int = 0
    gauges: tuple[GaugeView, ...] = ()
    web: WebView | None = None
    dissections: DissectionsView | None = None
    passed_over: Mapping[str, str] = field(default_factory=dict)
    recording: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """What `/metrics` shows: the books as they were last made durable, and the exporter's health now."""

    snapshot: Snapshot
    health: Health
