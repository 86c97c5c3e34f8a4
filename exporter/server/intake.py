"""Who is told of over HTTP: by spans at /v1/traces (traces), by events at /api/v1/events (events).

What these mean is decided where files of them are read too (exporter/requests/posted/). Here they are taken off the
wire and put into the inboxes of their servers, at once: an answer of 200 says that all of it is in there.
Nothing is heard of a body that does not fit into an inbox as a whole, so it can be sent again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.domain.units import Instant
from exporter.feeds.opening import PushedServer, TracedServer


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
    otlp: Sequence[TracedServer] = ()
    push: Sequence[PushedServer] = ()


def nobody(source: str) -> str:
    """What to say where no server is told of by this source."""
    return (
        f"no server is told of here: add one with `requests: {{source: {source}}}` to `servers` in the configuration\n"
    )
