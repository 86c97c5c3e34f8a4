"""What serving runs are: a server under test, what its clients know of each request, and what was recorded of it.

The contract between whoever starts servers, whoever loads them, and whoever judges the recordings. Instants are Unix
seconds, by the clock of the machine on which server, clients and exporter all run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from exporter.domain.events import Outcome
from validation.results import Check, Figure, MachineFacts, StageResult
from validation.stage import Room

PhaseKind = Literal["idle", "isolated", "identical", "prefill", "decode", "mix", "ramp"]
"""What a phase of a load is for; the ids of its requests begin with its name."""


class ServerFailedError(Exception):
    """A server cannot be had, does not start, or died; says why, and what was tried."""


@dataclass(frozen=True, slots=True)
class Bearing:
    """Which loads a server can bear.

    Attributes:
        concurrency: requests that it runs at once; those beyond it would queue, so none are sent.
        prompt_tokens, output_tokens: the most of one request.
    """

    concurrency: int = 64
    prompt_tokens: int = 2048
    output_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers.

    Its clients send `POST {url}/v1/completions` with `model`, `prompt` (a list of token ids), `max_tokens`, `stream`
    (true), `stream_options.include_usage` (true), `ignore_eos` (true), `cache_prompt` (false), and a header
    `X-Request-Id`; what it does not know it ignores. It streams OpenAI's chunks (`choices[0].text`), the last with
    `usage`, then `[DONE]`; the first chunk with text comes with the first token. Text may be empty but for that.

    Attributes:
        url: where it answers, without a trailing slash.
        pid: of its process.
        model: as requests name it.
        log: what it writes and the exporter reads. source: the exporter's reader of it. options: of that reader.
        told_ids: whether the log names requests by their `X-Request-Id`.
        metrics_url: its own `/metrics`, where the exporter's check on concurrency understands it.
        first_token, tokens: ids of `tokens` ordinary tokens, from `first_token` on.
        bearing: which loads it can bear.
        checks, figures: what its start showed: whether it is on the GPU, seconds to load.
    """

    url: str
    pid: int
    model: str
    log: Path
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    told_ids: bool = False
    metrics_url: str | None = None
    first_token: int = 256
    tokens: int = 1024
    bearing: Bearing = Bearing()
    checks: tuple[Check, ...] = ()
    figures: tuple[Figure, ...] = ()


class ServerUnderTest(Protocol):
    """A server with a model; it is started once, and stopped for certain."""

    @property
    def name(self) -> str:
        """Unique among the servers of a stage, fit for a file's name: `llama-server-llama-3.1-8b-q8_0`."""
        ...

    @property
    def kind(self) -> str:
        """Of the server: `llama-server`, `transformers`."""
        ...

    @property
    def model(self) -> str:
        """What it serves, in words: shapes, type of the weights, random."""
        ...

    @property
    def start_seconds(self) -> float:
        """How long a start may take, with writing its weights."""
        ...

    def unable(self, machine: MachineFacts) -> str:
        """Why it cannot run on this machine; empty where it can, or where only a start shows."""
        ...

    def start(self, room: Room) -> Served:
        """Start it, and wait until it answers; weights and logs go to `room.scratch`.

        Raises:
            ServerFailedError: it does not; all that was started is stopped.
        """
        ...

    def alive(self) -> bool:
        """Whether its process runs."""
        ...

    def stop(self) -> None:
        """Stop it, and whatever it started, and delete its weights; may be called at any time, and again."""
        ...


@dataclass(frozen=True, slots=True)
class ClientTruth:
    """What the client knows of a request that it sent.

    Attributes:
        id: the `X-Request-Id` that it sent; unique in the run.
        phase: name of the phase. group: requests of one phase that are asked for alike: a batch, a class of a mix, a
            level of a ramp (`b16.2`, `prefill`, `c8`); empty where all of the phase are.
        start: when it was sent. end: when its answer ended, or it was given up.
        first_token: when the first text came; None: none came.
        prompt_tokens: as sent. asked_tokens: output asked for.
        output_tokens: as the server's `usage` says; where it says none, None.
        outcome: `ok` only where the whole answer came. why: of another outcome.
    """

    id: str
    phase: str
    group: str
    start: float
    end: float
    first_token: float | None
    prompt_tokens: int
    asked_tokens: int
    output_tokens: int | None
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a load. `name`: unique in the run. `concurrency`: most requests at once. `note`: what was cut short."""

    name: str
    kind: PhaseKind
    began: float
    ended: float
    concurrency: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class DeviceBooks:
    """Joules of one device by the exporter: metered = attributed + idle + unattributed + unsettled."""

    device: str
    metered: float
    attributed: float
    idle: float
    unattributed: float
    unsettled: float


@dataclass(frozen=True, slots=True)
class Books:
    """What the running exporter said last.

    Attributes:
        at: when. devices: each.
        requests: settled, by outcome. policy: in force; `doubt`: why another than asked for; both empty if not told.
        faults: bugs that the exporter met in itself.
    """

    at: float
    devices: tuple[DeviceBooks, ...]
    requests: Mapping[str, int]
    policy: str = ""
    doubt: str = ""
    faults: int = 0


@dataclass(frozen=True, slots=True)
class ServingRun:
    """One server under one load, recorded.

    Attributes:
        server: kind of it. name: of the run, unique. model: in words. fake: on the fake NVML: nothing is measured.
        load: name of the plan.
        recording: by the real exporter, complete unless `missing` says so; None: there is none.
        requests: by their start. phases: by time.
        books: None: the exporter was not heard at the end.
        missing: what was not done, or went wrong, in words; empty where all went as planned.
    """

    server: str
    name: str
    model: str
    fake: bool
    load: str
    recording: Path | None
    requests: tuple[ClientTruth, ...]
    phases: tuple[Phase, ...]
    books: Books | None = None
    missing: tuple[str, ...] = ()


Judge = Callable[[Sequence[ServingRun], Room], StageResult]
"""`validation.judging.judge`, where it is there: its figures, checks, tables and files become those of the stage. Its
`room` ends when it must be done."""
