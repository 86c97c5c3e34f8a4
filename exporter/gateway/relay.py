"""One request through the gateway: to the server, and its answer back, a piece at a time as it comes.

Whatever is awaited here is cancelled when the client leaves; the connection to the server is then closed, by which it
knows to stop generating. Nobody's pace is hidden: a piece is read when the one before it was taken.
"""

import asyncio
import logging
import socket
import struct
from math import isfinite

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from exporter.domain.events import Outcome
from exporter.gateway.accounting import Accountant, Call, Estimate, Names, Seen, passed_names
from exporter.gateway.answer import PassedAnswer, refusal
from exporter.gateway.headers import end_to_end, for_upstream, has_body, is_websocket
from exporter.gateway.reading import WHOLE_BYTES
from exporter.gateway.sent import ClientError, SentBody, target_of
from exporter.gateway.upstream import Request, Upstream, UpstreamError
from exporter.gateway.websocket import relay_websocket
from exporter.requests.posted.proxied import ProxyOptions

log = logging.getLogger(__name__)

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Relay:
    """Passes requests on and answers back. `running`: the tasks of those that are under way."""

    def __init__(
        self, upstream: Upstream, options: ProxyOptions, accountant: Accountant, estimate: Estimate | None
    ) -> None:
        self._upstream = upstream
        self._options = options
        self._accountant = accountant
        self._estimate = estimate if options.energy_header else None
        self.running: set[asyncio.Task[object]] = set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle one request."""
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        names = self._accountant.names(request.headers)
        try:
            return await self._handle(request, names)
        except ClientError as error:
            return self._refuse(request, names, error.status, error.message, "bad_request")
        except UpstreamError as error:
            code = "upstream_timeout" if error.status == 504 else "bad_gateway"
            return self._refuse(request, names, error.status, f"gateway: {error.message}", code)
        except Exception as bug:  # noqa: BLE001 - a supervisor: a bug of ours ends one request, not the gateway
            self._accountant.failed(bug)
            return self._refuse(request, names, 500, "gateway: an error of its own", "gateway_fault")
        finally:
            self.running.discard(task)

    async def _handle(self, request: web.BaseRequest, names: Names) -> web.StreamResponse:
        target = target_of(request)
        headers = for_upstream(request.headers, request.remote, request.scheme)
        passed_names(names, self._options, headers)
        if is_websocket(request.headers):
            return await relay_websocket(request, self._upstream, target, headers)
        call = self._accountant.call(request.method, target, request.headers, names)
        try:
            return await self._exchange(request, target, headers, names, call)
        except asyncio.CancelledError:
            _end(call, "aborted")
            raise
        finally:
            _end(call, "error")  # if nothing better was told before

    async def _exchange(
        self, request: web.BaseRequest, target: str, headers: CIMultiDict[str], names: Names, call: Call | None
    ) -> web.StreamResponse:
        sent = SentBody(request)
        beginning, body = await sent.open()
        if call is not None:
            call.started(beginning)
        try:
            answer = await self._upstream.ask(Request(request.method, target, headers, body))
        except UpstreamError as error:
            if sent.broken:
                raise ClientError(400, "gateway: the request's body is broken") from error
            if call is not None and not error.served:
                call.never_served()
            raise
        try:
            return await self._answer(request, answer, names, call)
        finally:
            self._upstream.done(answer)

    async def _answer(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, names: Names, call: Call | None
    ) -> web.StreamResponse:
        passed = PassedAnswer(answer.status, answer.reason, end_to_end(answer.headers))
        passed.headers.setdefault(self._options.request_id_header, names.id)
        if call is not None:
            call.answered(answer.status, answer.headers)
            if self._estimate is not None and _is_short_json(request.method, answer):
                return await self._with_energy(request, answer, passed, call)
        try:
            await passed.prepare(request)
            await self._pass_body(answer, passed, call)
            await passed.write_eof()
        except ConnectionError:  # the client is gone
            _end(call, "aborted")
            passed.abandon()
        except UpstreamError as error:
            log.info("an answer was cut short: %s", error.message)
            _cut(request, passed)
        return passed

    async def _pass_body(self, answer: aiohttp.ClientResponse, passed: PassedAnswer, call: Call | None) -> None:
        if not answer.content.is_eof():
            passed.send_headers()
        while piece := await self._upstream.piece(answer):
            at = self._accountant.now()
            await passed.write(piece)
            if call is not None:
                call.passed(piece, at)
        _end(call, "ok")

    async def _with_energy(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, passed: PassedAnswer, call: Call
    ) -> web.StreamResponse:
        """Hold a short answer until it is complete: what it took is said in headers, which come before it."""
        body = bytearray()
        while piece := await self._upstream.piece(answer):
            body += piece
            call.passed(piece, self._accountant.now())
        seen = call.ended("ok")
        if seen is not None:
            passed.headers.update(self._energy_headers(seen))
        await passed.prepare(request)
        await passed.write_eof(bytes(body))
        return passed

    def _energy_headers(self, seen: Seen) -> dict[str, str]:
        assert self._estimate is not None
        bill = seen.bill
        try:
            said = self._estimate(
                self._accountant.server,
                bill.model,
                seen.seconds,
                bill.prompt_tokens,
                bill.output_tokens,
                seen.first_token_seconds,
            )
        except Exception as bug:  # noqa: BLE001 - as in `__call__`: the answer goes out without it
            self._accountant.failed(bug)
            return {}
        if said is None or not isfinite(said[0]) or said[0] < 0.0:
            return {}
        return {"X-Energy-Joules": f"{said[0]:.6g}", "X-Energy-Method": f"time_proxy; proxy={said[1]}"}

    def _refuse(
        self, request: web.BaseRequest, names: Names, status: int, message: str, code: str
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:  # too late for that
            return _cut(request, PassedAnswer(status, None, CIMultiDict()))
        response = refusal(status, message, code, {self._options.request_id_header: names.id})
        if status < 502 or request.can_read_body:
            response.force_close()  # who knows what comes next
        return response


def _end(call: Call | None, outcome: Outcome) -> None:
    if call is not None:
        call.ended(outcome)


def _cut(request: web.BaseRequest, passed: PassedAnswer) -> PassedAnswer:
    """Close the client's connection so that it can tell that its answer is not whole."""
    transport = request.transport
    passed.abandon()
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if not passed.framed and raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.close()
    return passed


def _is_short_json(method: str, answer: aiohttp.ClientResponse) -> bool:
    length = answer.content_length
    plain = answer.headers.get("Content-Encoding", "").lower() in ("", "identity")
    kind = answer.content_type.endswith("json") and plain and has_body(method, answer.status)
    return kind and answer.status < 400 and length is not None and length <= WHOLE_BYTES
