"""The front of the simulated servers: OpenAI's API and vLLM's metrics on one port."""

import errno
import uuid
from collections.abc import Callable, Sequence

import numpy as np
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from exporter.domain.errors import ListenError
from exporter.domain.settings import ListenAddress
from exporter.simulate import answering
from exporter.simulate.answering import Answer, Usage
from exporter.simulate.asking import MOST_CONTEXT_TOKENS, Ask, RefusedError, parse
from exporter.simulate.desk import Desk, Ticket
from exporter.simulate.gauges import CONTENT_TYPE, Gauges, exposition
from exporter.simulate.load import CHAT, Request
from exporter.simulate.replica import Refusal

HEADER = "X-Simulated"
SAYS = "no model and no GPU: filler text, timed and priced by a simulation"

_BODY_BYTES = 4 << 20
_GRACE_SECONDS = 1.0

_REFUSALS: dict[Refusal, tuple[int, str]] = {
    "overloaded": (429, "every queue is full; try again later"),
    "restarting": (503, "the server is restarting; try again in some seconds"),
}


class Front:
    """The routes.

    Args:
        model: the name under which the model is served.
        desk: where requests are handed in.
        gauges: of each replica.
        epoch: the present time, in seconds since the epoch.
        rng: where the lengths of answers come from.
    """

    def __init__(
        self, model: str, desk: Desk, gauges: Sequence[Gauges], epoch: Callable[[], float], rng: np.random.Generator
    ) -> None:
        self._model = model
        self._desk = desk
        self._gauges = gauges
        self._epoch = epoch
        self._rng = rng
        self._since = int(epoch())

    def application(self) -> web.Application:
        """The application."""
        app = web.Application(middlewares=[_label], client_max_size=_BODY_BYTES)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completion)
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="")

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = exposition(self._gauges, self._model).encode()
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def _models(self, _request: web.Request) -> web.Response:
        card = {
            "id": self._model,
            "object": "model",
            "created": self._since,
            "owned_by": "simulated",
            "root": self._model,
            "parent": None,
            "max_model_len": MOST_CONTEXT_TOKENS,
        }
        return web.json_response({"object": "list", "data": [card]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, parse(await request.read(), self._model, chat=True))

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, parse(await request.read(), self._model, chat=False))

    async def _serve(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        id_ = f"{'chatcmpl' if ask.chat else 'cmpl'}-{uuid.uuid4()}"
        tokens = self._answer_tokens(ask)
        ticket = self._desk.submit(Request(id_, 0.0, ask.prompt_tokens, tokens, stream=ask.stream))
        if not isinstance(ticket, Ticket):
            status, why = _REFUSALS[ticket]
            return web.json_response(answering.error(why, status), status=status, headers={hdrs.RETRY_AFTER: "1"})
        answer = Answer(id_, self._model, ask.chat, int(self._epoch()))
        finish_reason = "length" if tokens == ask.max_tokens else "stop"
        try:
            if ask.stream:
                return await _stream(request, ask, answer, ticket, finish_reason)
            return await _whole(ask, answer, ticket, finish_reason)
        finally:
            self._desk.leave(ticket)

    def _answer_tokens(self, ask: Ask) -> int:
        """As many as asked for where the end of a text is to be ignored; else as chance has it, and at most that."""
        if ask.exact and ask.max_tokens is not None:
            return ask.max_tokens
        drawn = min(CHAT.output.draw(self._rng), MOST_CONTEXT_TOKENS - ask.prompt_tokens)
        return drawn if ask.max_tokens is None else min(drawn, ask.max_tokens)


async def _whole(ask: Ask, answer: Answer, ticket: Ticket, finish_reason: str) -> web.Response:
    while ticket.passage.end is None:
        await ticket.tokens()
    if ticket.passage.outcome != "ok":
        return web.json_response(answering.error("the server died", 500), status=500)
    usage = Usage(ask.prompt_tokens, ticket.passage.output_tokens)
    return web.json_response(answer.whole(usage, finish_reason))


async def _stream(
    request: web.Request, ask: Ask, answer: Answer, ticket: Ticket, finish_reason: str
) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream", HEADER: SAYS})
    await response.prepare(request)
    opening = answer.opening()
    if opening is not None:
        await response.write(opening)
    ended = False
    while not ended:
        new, ended = await ticket.tokens()
        if new:
            await response.write(answer.tokens(new))
    if ticket.passage.outcome != "ok":
        await response.write(answering.error_event("the server died", 500))
    else:
        await response.write(answer.closing(finish_reason))
        if ask.usage:
            await response.write(answer.usage(Usage(ask.prompt_tokens, ticket.passage.output_tokens)))
    await response.write(answering.DONE)
    await response.write_eof()
    return response


@web.middleware
async def _label(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers say that they are simulated, and refusals have OpenAI's form."""
    try:
        response = await handler(request)
    except RefusedError as refused:
        body = answering.error(refused.message, refused.status, refused.param)
        response = web.json_response(body, status=refused.status)
    except web.HTTPException as refusal:
        body = answering.error(refusal.reason, refusal.status)
        response = web.json_response(body, status=refusal.status)
    if not response.prepared:
        response.headers[HEADER] = SAYS
    return response


async def serve_front(app: web.Application, address: ListenAddress) -> web.AppRunner:
    """Serve until the runner's `cleanup()`. A client that goes away cancels its handler.

    Raises:
        ListenError: the address cannot be had.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, address.host, address.port).start()
    except OSError as error:
        await runner.cleanup()
        why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise ListenError(
            f"cannot serve the simulated API on {address.host}:{address.port}: {why}; change --port"
        ) from error
    return runner
