"""What request sources say: frozen events, the same for every server.

Ids are unique within one server's log. Instants are the best estimate, `*_uncertainty` the half width of the interval
in which the true instant lies, in seconds. None means that the source cannot know it; it is never guessed.
"""

from dataclasses import dataclass
from typing import Literal

from exporter.domain.units import Instant
from exporter.domain.value import value

Outcome = Literal["ok", "error", "aborted"]
Closing = Literal["finish", "abort", "release", "timeout", "reuse", "restart"]
"""How a request was seen to end: its finish line, an abort line, its slot's release, silence, its id or slot being used
again, or its server starting anew."""


@value
class Started:
    """A request began to occupy the server: execution where the source can tell, else arrival.

    Attributes:
        tenant: who is to be billed, if the source was told to say so: a header's value, or a hash of the API key.
        trace_id: of the W3C trace that it belongs to, 32 hex digits.
    """

    id: str
    at: Instant
    uncertainty: float = 0.0
    model: str | None = None
    prompt_tokens: int | None = None
    tenant: str | None = None
    trace_id: str | None = None


@value
class FirstToken:
    """A started request gave its first output token: prefill ended, decode began."""

    id: str
    at: Instant
    uncertainty: float = 0.0


@value
class Ended:
    """A started request ended.

    Attributes:
        prompt_tokens: all tokens of the prompt.
        cached_tokens: those of them that cost no prefill because a cache held them.
        output_tokens: tokens generated.
    """

    id: str
    at: Instant
    uncertainty: float = 0.0
    outcome: Outcome = "ok"
    closing: Closing = "finish"
    model: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


@value
class Completed:
    """A whole request in one piece of news, from a source that speaks only at the end.

    Attributes:
        start: when it began to occupy the server: execution where known, else arrival.
        queued_seconds: time between arrival and `start`, where both are known.
        tenant, trace_id: as in Started.
    """

    id: str
    start: Instant
    end: Instant
    start_uncertainty: float = 0.0
    end_uncertainty: float = 0.0
    first_token: Instant | None = None
    queued_seconds: float = 0.0
    outcome: Outcome = "ok"
    model: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    tenant: str | None = None
    trace_id: str | None = None


LEAST_LIFE_SECONDS = 1e-3
"""A request shorter than its log's resolution still ran."""


def together(start: Started, first_token: float | None, end: Ended) -> Completed:
    """What was told of one request piece by piece, as one piece of news."""
    return Completed(
        id=end.id,
        start=start.at,
        end=Instant(max(end.at, start.at + LEAST_LIFE_SECONDS)),
        start_uncertainty=start.uncertainty,
        end_uncertainty=end.uncertainty,
        first_token=Instant(first_token) if first_token is not None else None,
        outcome=end.outcome,
        model=end.model or start.model,
        prompt_tokens=end.prompt_tokens if end.prompt_tokens is not None else start.prompt_tokens,
        cached_tokens=end.cached_tokens,
        output_tokens=end.output_tokens,
        tenant=start.tenant,
        trace_id=start.trace_id,
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """A request was served, but nothing says when it ran: it can be counted, never attributed."""

    at: Instant
    outcome: Outcome = "ok"


@dataclass(frozen=True, slots=True)
class ServerRestarted:
    """The server started anew at `at`: whatever was running before is over, and ids may be used again."""

    at: Instant


RequestEvent = Started | FirstToken | Ended | Completed | Counted | ServerRestarted


@value
class Used:
    """The line was understood and said this about requests."""

    events: tuple[RequestEvent, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """The line is none of a request reader's business. `reason` names its kind, from a closed set per reader."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """The line looked like a request's but could not be used: information was lost. `reason` is from a closed set."""

    reason: str


Heard = Used | Ignored | Dropped
