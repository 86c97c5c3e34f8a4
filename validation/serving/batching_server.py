"""A small server of OpenAI's completions around Transformers' continuous batching, with a log of its own.

The engine is Transformers'; the HTTP front and the log are this script's, and say so. `transformers serve` itself will
not do: its log tells of a request neither when it ran nor how many tokens it had. There is no tokenizer: prompts are
token ids (or text, whose bytes are taken as ids), and answers are the ids as text.

The log has one JSON object for each request, written when it ended; instants are Unix seconds:

    id, model, arrival, queued (seconds until it was first scheduled), first_token, end, prompt_tokens, output_tokens,
    outcome (ok, error, aborted)

    python3 -m validation.serving.batching_server --self-test --device cuda --model llama-8b      a first look
    python3 -m validation.serving.batching_server --port 8000 --log requests.jsonl --ready ready.json ...
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO
from uuid import uuid4

from aiohttp import web

from validation.serving.gguf import LLAMA_8B, QWEN3_8B, SMALL, TINY, Shape
from validation.serving.run import Bearing

SHAPES: Final[Mapping[str, Shape]] = {"tiny": TINY, "small": SMALL, "llama-8b": LLAMA_8B, "qwen3-8b": QWEN3_8B}
LOG_OPTIONS: Final[Mapping[str, Any]] = {
    "fields": {
        "id": "id",
        "model": "model",
        "start": {"path": "arrival", "unit": "s", "precision": 0.001},
        "end": {"path": "end", "unit": "s", "precision": 0.001},
        "queued": {"path": "queued", "unit": "s"},
        "first_token": {"path": "first_token", "unit": "s", "precision": 0.001},
        "prompt_tokens": "prompt_tokens",
        "output_tokens": "output_tokens",
        "outcome": "outcome",
    }
}
"""Of the exporter's `jsonl` reader, for this log."""

ENGINE = "engine: transformers' continuous batching; HTTP front and log: this script"
_NEWS_SECONDS = 0.1
"""After its first token, a stream gets its news so often: writing each token would take the engine's time from it."""
_ROUNDING_SECONDS = 5e-6
"""A reader refuses a queue that is longer than the request by what was rounded off."""
_SWITCH_SECONDS = 0.001
"""Between the engine's thread and the one that answers: the default of 5 ms would be seen in first tokens."""


@dataclass
class Passage:
    """A request on its way through. Instants are Unix seconds."""

    id: str
    prompt_tokens: int
    arrival: float
    started: float | None = None
    first_token: float | None = None
    ended: float | None = None
    tokens: list[int] = field(default_factory=list)
    error: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, heard: Any) -> None:
        """What the engine says of it."""
        if heard.tokens and self.first_token is None:
            self.first_token = time.time()
        self.tokens = list(heard.tokens)
        self.started = self.started or unix(heard.started)
        if heard.finished:
            self.error, self.ended = heard.error, unix(heard.ended) or time.time()
            self.done.set()
        self.news.set()

    @property
    def outcome(self) -> str:
        """As the log says it."""
        if self.error:
            return "error"
        return "ok" if self.done.is_set() else "aborted"

    def record(self, model: str) -> dict[str, Any]:
        """Its line in the log. One that was never scheduled was queued all the time."""
        end = self.ended or time.time()
        arrival, started = min(self.arrival, end), min(self.started or end, end)
        queued = max(started - arrival - _ROUNDING_SECONDS, 0.0)
        record = {
            "id": self.id,
            "model": model,
            "arrival": round(arrival, 6),
            "queued": round(queued, 6),
            "first_token": None if self.first_token is None else round(min(self.first_token, end), 6),
            "end": round(end, 6),
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": len(self.tokens),
            "outcome": self.outcome,
        }
        return record if not self.error else {**record, "error": self.error[:240]}


def unix(counter: float | None) -> float | None:
    """An instant of `time.perf_counter` by the wall clock."""
    return None if counter is None else counter + time.time() - time.perf_counter()


class Server:
    """Answers HTTP, and writes the log.

    Args:
        engine: that has proved itself. model: as requests name it. bearing: what it takes. log: for requests' records.
    """

    def __init__(self, engine: Any, model: str, tokens: int, bearing: Bearing, log: TextIO) -> None:
        self._engine, self._model, self._vocabulary, self._bearing, self._log = engine, model, tokens, bearing, log
        self._under_way: dict[str, Passage] = {}
        self._prompt_tokens = self._output_tokens = 0

    def application(self) -> web.Application:
        """With all its routes."""
        application = web.Application(client_max_size=16 << 20)
        application.add_routes(
            [
                web.post("/v1/completions", self._completions),
                web.get("/v1/models", self._models),
                web.get("/metrics", self._metrics),
                web.get("/health", self._health),
            ]
        )
        return application

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        prompt, tokens = self._prompt(body.get("prompt")), self._asked(body.get("max_tokens", 16))
        passage = Passage(self._name(request.headers.get("X-Request-Id")), len(prompt), time.time())
        if not self._engine.submit(passage.id, prompt, tokens, passage.hear):
            raise web.HTTPServiceUnavailable(text="the engine has ended")
        self._under_way[passage.id] = passage
        try:
            return await (self._stream(request, passage) if body.get("stream") else self._whole(passage))
        finally:
            self._over(passage)

    def _over(self, passage: Passage) -> None:
        """Whoever leaves during the last words has an answer that was computed to its end: that is no abort."""
        if not passage.done.is_set():
            passage.started = unix(self._engine.cancel(passage.id)) or passage.started
        del self._under_way[passage.id]
        self._prompt_tokens += passage.prompt_tokens if passage.tokens else 0
        self._output_tokens += len(passage.tokens)
        self._log.write(json.dumps(passage.record(self._model)) + "\n")
        self._log.flush()

    async def _whole(self, passage: Passage) -> web.Response:
        await passage.done.wait()
        if passage.error:
            raise web.HTTPInternalServerError(text=passage.error)
        return web.json_response(self._chunk(passage, passage.tokens, whole=True))

    async def _stream(self, request: web.Request, passage: Passage) -> web.StreamResponse:
        await passage.news.wait()
        if passage.error:
            raise web.HTTPInternalServerError(text=passage.error)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Request-Id": passage.id})
        await answer.prepare(request)
        sent = 0
        while sent < len(passage.tokens) or not passage.done.is_set():
            if len(passage.tokens) > sent:
                fresh = passage.tokens[sent:]
                sent += len(fresh)
                await _write(answer, self._chunk(passage, fresh))
            with suppress(TimeoutError):
                await asyncio.wait_for(passage.done.wait(), _NEWS_SECONDS)
        if passage.error:
            await _write(answer, {"error": {"message": passage.error}})
        else:
            await _write(answer, self._chunk(passage, [], whole=True))
        await answer.write(b"data: [DONE]\n\n")
        return answer

    def _chunk(self, passage: Passage, tokens: list[int], *, whole: bool = False) -> dict[str, Any]:
        text = "".join(f" {token}" for token in tokens)
        chunk: dict[str, Any] = {
            "id": f"cmpl-{passage.id}",
            "object": "text_completion",
            "created": int(passage.arrival),
            "model": self._model,
            "choices": [{"index": 0, "text": text, "finish_reason": "length" if whole else None}],
        }
        if whole:
            counted = {"prompt_tokens": passage.prompt_tokens, "completion_tokens": len(passage.tokens)}
            chunk["usage"] = {**counted, "total_tokens": sum(counted.values())}
        return chunk

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self._model, "object": "model"}]})

    async def _health(self, _: web.Request) -> web.Response:
        alive = self._engine.alive()
        return web.Response(text="ok\n" if alive else "the engine has ended\n", status=200 if alive else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        """By vLLM's names, which what watches servers knows."""
        running, waiting = self._engine.counts()
        under_way = self._under_way.values()
        prompted = self._prompt_tokens + sum(one.prompt_tokens for one in under_way if one.tokens)
        written = self._output_tokens + sum(len(one.tokens) for one in under_way)
        families = (
            ("num_requests_running", "gauge", running),
            ("num_requests_waiting", "gauge", waiting),
            ("prompt_tokens_total", "counter", prompted),
            ("generation_tokens_total", "counter", written),
        )
        label = f'{{model_name="{self._model}"}}'
        text = "".join(f"# TYPE vllm:{name} {kind}\nvllm:{name}{label} {value}\n" for name, kind, value in families)
        return web.Response(text=text)

    def _name(self, told: str | None) -> str:
        """As the client calls it, where nobody else under way is called so."""
        free = told and told not in self._under_way
        return told if told and free else uuid4().hex

    def _prompt(self, prompt: Any) -> list[int]:
        ids = list(prompt.encode()) if isinstance(prompt, str) else prompt
        if not isinstance(ids, list) or not ids or not all(self._is_token(one) for one in ids):
            raise web.HTTPBadRequest(text=f"prompt: must be text or token ids below {self._vocabulary}")
        if len(ids) > self._bearing.prompt_tokens:
            raise web.HTTPBadRequest(text=f"prompt: at most {self._bearing.prompt_tokens} tokens; got {len(ids)}")
        return ids

    def _is_token(self, value: Any) -> bool:
        return type(value) is int and 0 <= value < self._vocabulary

    def _asked(self, tokens: Any) -> int:
        if type(tokens) is not int or not 0 < tokens <= self._bearing.output_tokens:
            raise web.HTTPBadRequest(text=f"max_tokens: must be 1 to {self._bearing.output_tokens}; got {tokens!r}")
        return tokens


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"no JSON: {error}") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="must be a JSON object")
    return body


async def _write(answer: web.StreamResponse, chunk: Mapping[str, Any]) -> None:
    await answer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


# Running it


def main(arguments: list[str] | None = None) -> int:
    """Serve, or test oneself; the exit status."""
    options = _parser().parse_args(arguments)
    from validation.serving import batching_engine as engines  # noqa: PLC0415 - `--help` needs no PyTorch

    engines.use_threads(options.threads)
    bearing = Bearing(options.concurrency, options.prompt_tokens, options.output_tokens)
    began = time.monotonic()
    _say(f"{options.model} on {options.device}: {ENGINE}")
    try:
        model = engines.build_model(SHAPES[options.model], options.device)
        _say(f"weights after {time.monotonic() - began:.1f} s; trying: {', '.join(options.attention)}")
        made = engines.make(model, bearing, options.attention, _say)
    except (engines.NoEngineError, RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
        _say(f"no engine here: {error}")
        return _leave(1)
    _say(f"{made.way} proved itself after {time.monotonic() - began:.1f} s, {made.agreed:.0%} of its tokens agreed")
    if options.self_test:
        _self_test(made.engine, model.config.vocab_size, bearing)
    else:
        sys.setswitchinterval(_SWITCH_SECONDS)
        ready = {"way": made.way, "agreed": made.agreed, "failed": made.failed}
        asyncio.run(_serve(made.engine, model.config.vocab_size, bearing, options, ready))
    with suppress(Exception):
        made.engine.stop()
    return _leave(0)


def _leave(status: int) -> int:
    """At once: a thread of the engine that hangs on the device would keep this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


async def _serve(
    engine: Any, tokens: int, bearing: Bearing, options: argparse.Namespace, ready: dict[str, Any]
) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with options.log.open("a", encoding="utf-8") as log:
        server = Server(engine, options.model, tokens, bearing, log)
        runner = web.AppRunner(server.application(), handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port).start()
        host, port = runner.addresses[0][:2]
        _say(f"serving {options.model} at http://{host}:{port}; requests are logged to {options.log}")
        if options.ready:
            partial = options.ready.with_suffix(".partial")
            partial.write_text(json.dumps({**ready, "url": f"http://{host}:{port}"}))
            partial.replace(options.ready)
        await ended.wait()
        await runner.cleanup()


def _self_test(engine: Any, vocabulary: int, bearing: Bearing) -> None:
    """Four and then as many as it bears at once; tokens a second."""
    tokens, length = min(128, bearing.output_tokens), min(128, bearing.prompt_tokens)
    for requests in sorted({1, 4, bearing.concurrency}):
        prompts = [[(17 * at + 31 * one) % vocabulary for one in range(length)] for at in range(requests)]
        began = time.monotonic()
        told = engine.first_tokens(prompts, tokens, 120.0)
        seconds = time.monotonic() - began
        written = sum(len(one) for one in told)
        print(f"{requests} at once: {written} tokens in {seconds:.2f} s, {written / seconds:.1f} tokens/s", flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m validation.serving.batching_server", description=ENGINE)
    parser.add_argument("--model", choices=list(SHAPES), default="tiny", help="shapes; weights are random")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu (default: %(default)s)")
    parser.add_argument("--attention", type=_ways, default=_ways(""), metavar="WAY,...", help="what to try, in order")
    parser.add_argument("--self-test", action="store_true", help="write some tokens, say how fast, and end")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free (default)")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), metavar="FILE", help="for requests' records")
    parser.add_argument("--ready", type=Path, metavar="FILE", help="written when it serves: where, and how")
    parser.add_argument("--concurrency", type=int, default=64, help="most requests at once (default: %(default)s)")
    parser.add_argument("--prompt-tokens", type=int, default=2048, help="most of one prompt (default: %(default)s)")
    parser.add_argument("--output-tokens", type=int, default=1024, help="most of one answer (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch on the CPU; 0: as many as it likes")
    return parser


def _ways(text: str) -> list[str]:
    known = ("flash", "sdpa", "eager", "static", "flash-graphs")
    ways = [way.strip() for way in text.split(",") if way.strip()] or list(known[:4])
    unknown = [way for way in ways if way not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose of {', '.join(known)}")
    return ways


if __name__ == "__main__":
    sys.exit(main())
