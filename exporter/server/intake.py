"""Who is told of over HTTP: by spans at /v1/traces (traces), by events at /api/v1/events (events).

What these mean is decided where files of them are read too (exporter/requests/posted/). Here they are taken off the
wire and put into the inboxes of their servers, at once: an answer of 200 says that all of it is in there.
Nothing is heard of a body that does not fit into an inbox as a whole, so it can be sent again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.domain.units import Instant
from exporter.feeds.opening import PushedServer, TracedServer

TRACES_PATH = "/v1/traces"
EVENTS_PATH = "/api/v1/events"
SCHEMA_PATH = f"{EVENTS_PATH}/schema"


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


def add_intakes(router: web.UrlDispatcher, intakes: Intakes | None) -> None:
    """Add the routes. What a body means is loaded only where a server is told of that way."""
    router.add_post(TRACES_PATH, _nobody("otlp") if intakes is None or not intakes.otlp else _traces(intakes))
    router.add_post(EVENTS_PATH, _nobody("push") if intakes is None or not intakes.push else _events(intakes))
    router.add_get(SCHEMA_PATH, _schema)


def _traces(intakes: Intakes) -> Handler:
    from exporter.server.traces import Traces  # noqa: PLC0415 - see above

    return Traces(intakes).post


def _events(intakes: Intakes) -> Handler:
    from exporter.server.events import Events  # noqa: PLC0415 - see above

    return Events(intakes).post


async def _schema(_request: web.Request) -> web.Response:
    from exporter.requests.posted.pushed import schema  # noqa: PLC0415 - seldom asked for

    return web.json_response(schema(), content_type="application/schema+json")


def _nobody(source: str) -> Handler:
    """What to say where no server is told of by this source."""
    text = (
        f"no server is told of here: add one with `requests: {{source: {source}}}` to `servers` in the configuration\n"
    )

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=404, text=text)

    return refuse
