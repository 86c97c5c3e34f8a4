"""Who is told of over HTTP: by spans at /v1/traces (traces), by events at /api/v1/events (events).

What these mean is decided where files of them are read too (exporter/requests/posted/). Here they are taken off the
wire and put into the inboxes of their servers, at once: an answer of 200 says that all of it is in there.
Nothing is heard of a body that does not fit into an inbox as a whole, so it can be sent again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.domain.units import Instant
from exporter.feeds.inbox import Inbox
from exporter.requests.posted.otlp import OtlpCore
from exporter.requests.posted.push import PushCore


@dataclass(frozen=True, slots=True)
class OtlpIntake:
    """A server whose requests are told as spans.

    Attributes:
        server: its name. inbox: where its news goes. core: which spans are its own.
    """

    server: str
    inbox: Inbox
    core: OtlpCore


@dataclass(frozen=True, slots=True)
class PushIntake:
    """A server whose requests are told as events.

    Attributes:
        server: the name by which events say that they are its own. inbox: where its news goes.
        core: what it was told before.
    """

    server: str
    inbox: Inbox
    core: PushCore


@dataclass(frozen=True, slots=True)
class Intakes:
    """All servers that are told of over HTTP.

    Attributes:
        now: the present instant.
        wall_offset: seconds to add to a wall-clock stamp written now to get an instant; None while that is not known.
        otlp, push: the servers, in the order of the configuration. A span goes to the first that it fits, those that
            name a service before those that take any.
    """

    now: Callable[[], Instant]
    wall_offset: Callable[[], float | None]
    otlp: Sequence[OtlpIntake] = ()
    push: Sequence[PushIntake] = ()


def nobody(source: str) -> str:
    """What to say where no server is told of by this source."""
    return (
        f"no server is told of here: add one with `requests: {{source: {source}}}` to `servers` in the configuration\n"
    )
