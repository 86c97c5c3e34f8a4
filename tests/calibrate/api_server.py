"""A real local server that answers like an OpenAI-compatible API, well or badly, as its behaviour says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "sk-secret-of-ours"
REPLY = ("Über", "sieben", "Brücken", "橋", "ran", "a", "river", "of", "light.")


@dataclass
class Behaviour:
    """How the server is. Requests that it met are in `bodies`, `paths` and `keys`."""

    refuses_stream_options: bool = False
    wants_completion_tokens: bool = False
    only_text: bool = False
    tells_usage: bool = True
    needs_key: bool = False
    unknown_model: bool = False
    repeats_key: bool = False
    hangs_up_once: bool = False
    longest_prompt: int | None = None
    busy_times: int = 0
    retry_after: str = "0"
    fails_after: int | None = None
    cuts_after: int | None = None
    breaks_after: int | None = None
    in_one_piece: bool = False
    bytewise: bool = False
    line_end: str = "\n"
    thinks: bool = False
    silent: bool = False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    running: int = 0
    most_running: int = 0


@asynccontextmanager
async def serving(behaviour: Behaviour) -> AsyncIterator[str]:
    """Yields the URL of such a server."""
    app = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        behaviour.running += 1
        behaviour.most_running = max(behaviour.most_running, behaviour.running)
        try:
            return await _answer(behaviour, request)
        finally:
            behaviour.running -= 1

    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_post("/v1/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _answer(how: Behaviour, request: web.Request) -> web.StreamResponse:
    body = await request.json()
    how.bodies.append(body)
    how.paths.append(request.path)
    how.keys.append(request.headers.get("Authorization"))
    return _refusal(how, request, body) or await _stream(how, request, body)


def _refusal(how: Behaviour, request: web.Request, body: dict[str, Any]) -> web.Response | None:
    if how.busy_times > 0:
        how.busy_times -= 1
        return web.Response(status=429, headers={"Retry-After": how.retry_after})
    if how.hangs_up_once and len(how.bodies) == 3:
        assert request.transport is not None
        request.transport.abort()
    for status, applies, text in _refusals(how, request, body):
        if applies:
            return web.Response(status=status, text=text)
    return None


def _refusals(how: Behaviour, request: web.Request, body: dict[str, Any]) -> list[tuple[int, bool, str]]:
    chat = request.path.endswith("/chat/completions")
    return [
        (401, how.needs_key and how.keys[-1] != f"Bearer {KEY}", f"Incorrect API key {how.keys[-1]}"),
        (404, how.unknown_model, f"The model `{body['model']}` does not exist"),
        (404, how.only_text and chat, "404 page not found"),
        (400, how.repeats_key, f"something is wrong; your key was {KEY}"),
        (400, how.refuses_stream_options and "stream_options" in body, "no such field: stream_options"),
        (400, how.wants_completion_tokens and "max_tokens" in body, "Use 'max_completion_tokens' instead."),
        (400, how.longest_prompt is not None and _words(body) > how.longest_prompt, "exceeds the context"),
        (500, how.fails_after is not None and len(how.bodies) > how.fails_after, ""),
    ]


def _words(body: dict[str, Any]) -> int:
    return len(str(body.get("prompt") or body["messages"][0]["content"]).split())


async def _stream(how: Behaviour, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    tokens = 0 if how.silent else min(body.get("max_tokens") or body["max_completion_tokens"], 16)
    pieces = [_event(how, {"choices": [{"index": 0, "delta": {"role": "assistant"}}]})]
    pieces += [_event(how, _chunk(how, request, number)) for number in range(tokens)]
    pieces += [
        _event(how, {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}),
        *_ending(how, body, tokens),
    ]
    if how.cuts_after is not None and len(how.bodies) > how.cuts_after:
        pieces = pieces[:4]
    await _send(how, response, pieces)
    if how.breaks_after is not None and len(how.bodies) > how.breaks_after:
        assert request.transport is not None
        request.transport.abort()
    return response


def _ending(how: Behaviour, body: dict[str, Any], tokens: int) -> list[bytes]:
    words = _words(body)
    usage = {"prompt_tokens": words, "completion_tokens": tokens, "total_tokens": words + tokens}
    told = how.tells_usage and "stream_options" in body
    return [
        *([_event(how, {"choices": [], "usage": usage})] if told else []),
        f"data: [DONE]{how.line_end * 2}".encode(),
    ]


async def _send(how: Behaviour, response: web.StreamResponse, pieces: list[bytes]) -> None:
    if how.in_one_piece:
        pieces = [b"".join(pieces)]
    if how.bytewise:
        whole = b"".join(pieces)
        pieces = [whole[place : place + 7] for place in range(0, len(whole), 7)]
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(0.0 if how.bytewise else 0.001)


def _chunk(how: Behaviour, request: web.Request, number: int) -> dict[str, Any]:
    word = REPLY[number % len(REPLY)] + " "
    if request.path == "/v1/completions":
        return {"choices": [{"index": 0, "text": word}], "usage": None}
    return {"choices": [{"index": 0, "delta": {"reasoning_content" if how.thinks else "content": word}}]}


def _event(how: Behaviour, chunk: dict[str, Any]) -> bytes:
    return f": keep-alive{how.line_end}data: {json.dumps(chunk, ensure_ascii=False)}{how.line_end * 2}".encode()
