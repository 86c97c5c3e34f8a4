"""What vLLM 0.32 would print about a request with `--enable-log-requests --enable-log-outputs --no-enable-log-deltas`.

Whole seconds in local time without year or zone, no tokens, no first token, no end line for what dies with the server:
that is how this log really is. The access line comes when the answer begins: at the start of a stream, at the end of
any other. `Added` and `Aborted request(s)` carry the engine's id, with eight more hex digits, and a completion (as
opposed to a chat) is received under the number of its prompt. No prompt is ever printed.
"""

import time
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from exporter.simulate.engine import Passage

STATS_SECONDS = 10.0

_PARAMS = (
    "SamplingParams(n=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, temperature=0.7, "
    "watermarking=None, top_p=1.0, top_k=0, min_p=0.0, seed=None, stop=[], stop_token_ids=[], bad_words=[], "
    "thinking_token_budget=None, include_stop_str_in_output=False, ignore_eos=False, max_tokens={max_tokens}, "
    "min_tokens=0, logprobs=None, prompt_logprobs=None, skip_special_tokens=True, "
    "spaces_between_special_tokens=True, structured_outputs=None, extra_args=None)"
)
_OUTPUT = "' simulated simulated simulated simulated'"
_BANNER = (
    "",
    "       █     █     █▄   ▄█",
    " ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0",
    "  █▄█▀ █     █     █     █  model   {model}",
    "   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀",
    "",
)


class Stats(NamedTuple):
    """What an engine says of itself: tokens a second, requests, and how full its cache is, from 0 to 1."""

    prompt_rate: float
    output_rate: float
    running: int
    waiting: int
    cache_usage: float


class VllmLines:
    """The lines of one API server.

    Args:
        model: what is served.
        pid: of the server's process; each start adds one.
        begin: time zero of the simulation by the wall clock, in seconds since the epoch.
        chance: where ports and engine ids come from.
    """

    def __init__(self, model: str, pid: int, begin: float, chance: Random) -> None:
        self._model = model
        self._pid = pid
        self._begin = begin
        self._chance = chance

    def started(self, at: float) -> Iterator[str]:
        """The server starts."""
        self._pid += 1
        for line in _BANNER:
            yield self._said(at, "api_utils.py:347", line.format(model=self._model))
        yield f"INFO:     Started server process [{self._pid}]"
        yield "INFO:     Waiting for application startup."
        yield "INFO:     Application startup complete."

    def arrived(self, passage: Passage) -> Iterator[str]:
        """A request was received and handed to the engine."""
        at, id_ = passage.arrival, _prompt_id(passage)
        params = _PARAMS.format(max_tokens=passage.request.output_tokens)
        yield self._said(at, "request_logger.py:65", f"Received request {id_}: params: {params}, lora_request: None.")
        if passage.request.stream:
            yield self._access(passage)
        yield self._said(at, "async_llm.py:578", f"Added request {self._engine_id(id_)}.")

    def gone(self, passage: Passage) -> Iterator[str]:
        """A request ended; of one that died with its server there is nobody left to tell."""
        assert passage.end is not None
        if passage.outcome == "ok":
            yield from self._generated(passage, passage.end)
        elif passage.outcome == "aborted":
            inner = self._engine_id(_prompt_id(passage))
            yield self._said(passage.end, "async_llm.py:922", f"Aborted request(s) {inner}.")
            yield self._said(passage.end, "async_llm.py:783", f"Request {passage.request.id} aborted.")

    def stats(self, at: float, stats: Stats) -> str:
        """The engine's word on itself."""
        text = (
            f"Engine 000: Avg prompt throughput: {stats.prompt_rate:.1f} tokens/s, Avg generation throughput: "
            f"{stats.output_rate:.1f} tokens/s, Running: {stats.running} reqs, Waiting: {stats.waiting} reqs, "
            f"GPU KV cache usage: {100.0 * stats.cache_usage:.1f}%, Prefix cache hit rate: 0.0%"
        )
        return self._said(at, "loggers.py:335", text)

    def _generated(self, passage: Passage, at: float) -> Iterator[str]:
        stream = passage.request.stream
        what, reason = (" (streaming complete)", "streaming_complete") if stream else ("", "stop")
        text = f"Generated response {passage.request.id}{what}: output: {_OUTPUT}, finish_reason: {reason}"
        yield self._said(at, "request_logger.py:108", text)
        if not stream:
            yield self._access(passage)

    def _said(self, at: float, place: str, text: str) -> str:
        stamp = time.strftime("%m-%d %H:%M:%S", time.localtime(self._begin + at))
        return f"(APIServer pid={self._pid}) INFO {stamp} [{place}] {text}"

    def _access(self, passage: Passage) -> str:
        path = "completions" if passage.request.id.startswith("cmpl-") else "chat/completions"
        return f'INFO:     127.0.0.1:{self._chance.randint(32768, 60999)} - "POST /v1/{path} HTTP/1.1" 200 OK'

    def _engine_id(self, id_: str) -> str:
        return f"{id_}-{self._chance.getrandbits(32):08x}"


def _prompt_id(passage: Passage) -> str:
    """The id of the request's first and only prompt."""
    id_ = passage.request.id
    return f"{id_}-0" if id_.startswith("cmpl-") else id_
