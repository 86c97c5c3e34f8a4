"""The routes. Every answer is made from one frozen snapshot; two clients at a time see the same.

Only what is posted to the intakes goes further: into their inboxes.
"""

import gzip
import logging
from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from exporter.domain.health import Published
from exporter.domain.settings import ApiAccess
from exporter.metrics.accept import qualities
from exporter.metrics.exposition import render
from exporter.proxy.calibration.calibration import to_json
from exporter.server.calibrations import PATH as CALIBRATION_PATH
from exporter.server.calibrations import ByServer, chosen, listed
from exporter.server.intake import Intakes, add_intakes
from exporter.server.proxies import proxies
from exporter.server.receipts import not_among, receipt_of, recent

_log = logging.getLogger(__name__)

_GZIP_LEVEL = 4  # of 1 to 9: most of the gain for little of the time
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def build(  # noqa: PLR0913 - what the pages are made of, and how
    published: Callable[[], Published],
    ready: Callable[[], bool],
    fault: Callable[[str], None] = lambda _stage: None,
    calibrations: Callable[[], ByServer] = dict,
    intakes: Intakes | None = None,
    *,
    api: ApiAccess = "recent",
) -> web.Application:
    """The application.

    Args:
        published: the present state; called once per request, must not block.
        ready: whether the exporter has started: books open, sources asked once. A broken sensor stays ready.
        fault: called with `server` when an answer could not be made: a bug, to be counted.
        calibrations: those that could be made now.
        intakes: the servers that are told of over HTTP.
        api: whether single requests are told of.
    """
    pages = _Pages(published, ready, calibrations)
    app = web.Application(middlewares=[_guard(fault)])
    app.router.add_get("/", pages.landing)
    app.router.add_get("/metrics", pages.metrics)
    app.router.add_get("/-/healthy", pages.healthy)
    app.router.add_get("/-/ready", pages.ready)
    app.router.add_get("/api/v1/requests", pages.requests if api == "recent" else _api_is_off)
    one = pages.receipt if api == "recent" else _api_is_off
    app.router.add_get("/api/v1/requests/{id:.+}", one)  # an id may hold a slash
    app.router.add_get("/api/v1/proxy", pages.proxies)
    app.router.add_get(CALIBRATION_PATH, pages.calibration)
    add_intakes(app.router, intakes)
    return app


class _Pages:
    def __init__(
        self, published: Callable[[], Published], ready: Callable[[], bool], calibrations: Callable[[], ByServer]
    ) -> None:
        self._published = published
        self._ready = ready
        self._calibrations = calibrations

    async def landing(self, _request: web.Request) -> web.Response:
        from exporter.server.page import CONTENT_SECURITY_POLICY, landing_page  # noqa: PLC0415 - people come seldom

        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "X-Frame-Options": "DENY"}
        page = landing_page(self._published()).encode("utf-8", "replace")  # a log in JSON can hold half characters
        return web.Response(body=page, content_type="text/html", charset="utf-8", headers=headers)

    async def metrics(self, request: web.Request) -> web.Response:
        body, content_type = render(self._published(), _header(request, hdrs.ACCEPT))
        headers = {hdrs.CONTENT_TYPE: content_type, hdrs.VARY: "Accept, Accept-Encoding"}
        if qualities(_header(request, hdrs.ACCEPT_ENCODING)).get("gzip", 0.0) > 0:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
        return web.Response(body=body, headers=headers)

    async def healthy(self, _request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def ready(self, _request: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="starting: no books yet\n")

    async def requests(self, _request: web.Request) -> web.Response:
        return web.json_response(recent(self._published().snapshot))

    async def receipt(self, request: web.Request) -> web.Response:
        snapshot = self._published().snapshot
        receipt = receipt_of(snapshot, request.match_info["id"])
        if receipt is None:
            return web.json_response(not_among(snapshot), status=404)
        return web.json_response(receipt)

    async def proxies(self, _request: web.Request) -> web.Response:
        return web.json_response(proxies(self._published().snapshot))

    async def calibration(self, request: web.Request) -> web.Response:
        server, model = request.query.get("server"), request.query.get("model")
        if server is None and model is None:
            return web.json_response(listed(self._calibrations()))
        found = chosen(self._calibrations(), server, model)
        if len(found) != 1:
            problem = f"{len(found)} calibrations fit: choose one of {CALIBRATION_PATH} by ?server=...&model=...\n"
            return web.Response(status=404 if not found else 400, text=problem)
        return web.Response(text=to_json(found[0]), content_type="application/json")


async def _api_is_off(_request: web.Request) -> web.Response:
    return web.Response(status=404, text="no single request is told of here: `web.api` is `off` in the configuration\n")


def _header(request: web.Request, name: str) -> str:
    """All lines of a header as one."""
    return ",".join(request.headers.getall(name, []))


def _guard(fault: Callable[[str], None]) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            refusal.headers.update(_HEADERS)
            raise
        except Exception:  # noqa: BLE001 - our own bug must cost one answer, and never the exporter
            _log.exception("no answer could be made for %s", request.path)
            fault("server")
            response = web.Response(status=500, text="this answer could not be made; the exporter's log says why\n")
        response.headers.update(_HEADERS)
        return response

    return guard
