"""vLLM 0.32 with `--enable-log-requests --enable-log-outputs`: start, end and id of each request, never its tokens.

As text, stamps have whole seconds and no year; as JSON (`--logging-config.formatter json`) milliseconds. The access
line comes when the answer begins: at the start of a stream, at the end of any other. `Added` and `Aborted request(s)`
carry the id with eight more hex digits. The `Received` line comes on arrival: a queued request seems to run.
"""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Literal, NamedTuple

import numpy as np

from exporter.domain.units import Instant, later
from exporter.simulate.batching import Run, Served
from tests.simulation.logs import LogLine, in_order

Form = Literal["text", "json"]

_PID = 6001
_STATS_SECONDS = 10.0
_PARAMS = (
    "SamplingParams(n=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, temperature=0.7, "
    "watermarking=None, top_p=1.0, top_k=0, min_p=0.0, seed=None, stop=[], stop_token_ids=[], bad_words=[], "
    "thinking_token_budget=None, include_stop_str_in_output=False, ignore_eos=False, max_tokens={max_tokens}, "
    "min_tokens=0, logprobs=None, prompt_logprobs=None, skip_special_tokens=True, "
    "spaces_between_special_tokens=True, structured_outputs=None, extra_args=None)"
)


class _Message(NamedTuple):
    """What is logged, by which logger, from which line of its source."""

    at: Instant
    logger: str
    place: str
    text: str


def vllm_id(served: Served) -> str:
    """The id under which vLLM logs a request."""
    return f"chatcmpl-{served.id}"


def vllm_log(
    run: Run, rng: np.random.Generator, *, form: Form = "text", deltas: bool = False, zone: tzinfo = UTC
) -> list[LogLine]:
    """The API server's log.

    Args:
        run: what happened.
        rng: where chance comes from.
        form: text, or JSON lines.
        deltas: a line per streamed token, which is vLLM's default (`--no-enable-log-deltas` turns it off).
        zone: the server's local time zone, which no line names.
    """
    messages = [*_start_up(run), *_stats(run)]
    messages += [message for served in run.served for message in _messages(served, rng, deltas=deltas)]
    write = _text if form == "text" else _json
    return in_order(LogLine(message.at, write(message, zone)) for message in messages)


def _text(message: _Message, zone: tzinfo) -> str:
    if message.logger == "uvicorn.access":
        return f"INFO:     {message.text} OK"
    if message.logger == "uvicorn.error":
        return f"INFO:     {message.text}"
    stamp = datetime.fromtimestamp(math.floor(message.at), zone).strftime("%m-%d %H:%M:%S")
    return f"(APIServer pid={_PID}) INFO {stamp} [{message.place}] {message.text}"


def _json(message: _Message, zone: tzinfo) -> str:
    seconds = math.floor(message.at)
    stamp = datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d %H:%M:%S")
    fields = {
        "asctime": f"{stamp},{int((message.at - seconds) * 1000):03}",
        "levelname": "INFO",
        "name": message.logger,
        "processName": "MainProcess",
        "process": _PID,
        "message": message.text,
        "vllm_process_name": "APIServer",
    }
    return json.dumps(fields)


def _start_up(run: Run) -> Iterator[_Message]:
    banner = f"  █▄█▀ █     █     █     █  model   {run.physics.model}"
    yield _Message(run.begin, "vllm.entrypoints.serve.utils.api_utils", "api_utils.py:347", banner)
    yield _Message(later(run.begin, 0.1), "uvicorn.error", "", f"Started server process [{_PID}]")
    yield _Message(later(run.begin, 0.4), "uvicorn.error", "", "Application startup complete.")


def _stats(run: Run) -> Iterator[_Message]:
    """The engine's word on itself, every ten seconds."""
    for after in np.arange(_STATS_SECONDS, run.end - run.begin, _STATS_SECONDS).tolist():
        yield _Message(later(run.begin, after), "vllm.v1.metrics.loggers", "loggers.py:335", _stats_text(run, after))


def _stats_text(run: Run, after: float) -> str:
    now, steps = run.begin + after, run.steps
    recent = (steps.end > after - _STATS_SECONDS) & (steps.end <= after)
    running = sum(one.start <= now < one.end for one in run.served)
    waiting = sum(one.arrival <= now < one.start for one in run.served)
    firsts = sum(now - _STATS_SECONDS < one.first_token <= now for one in run.served)
    prompt = float(np.sum(steps.prefill_tokens[recent])) / _STATS_SECONDS
    output = (float(np.sum(steps.decoding[recent])) + firsts) / _STATS_SECONDS
    return (
        f"Engine 000: Avg prompt throughput: {prompt:.1f} tokens/s, Avg generation throughput: {output:.1f} tokens/s, "
        f"Running: {running} reqs, Waiting: {waiting} reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 0.0%"
    )


def _messages(served: Served, rng: np.random.Generator, *, deltas: bool) -> Iterator[_Message]:
    id_, inner = vllm_id(served), f"{vllm_id(served)}-{rng.bytes(4).hex()}"
    received = later(served.arrival, rng.uniform(0.0, 0.001))
    params = _PARAMS.format(max_tokens=served.request.output_tokens)
    yield _said(received, "request_logger.py:65", f"Received request {id_}: params: {params}, lora_request: None.")
    if served.request.stream:
        yield _access(later(received, 0.001), rng)
    yield _engine(later(received, rng.uniform(0.002, 0.017)), "async_llm.py:578", f"Added request {inner}.")
    if deltas and served.request.stream:
        yield from _deltas(served)
    yield from _aborted(served, inner, rng) if served.outcome == "aborted" else _generated(served, rng)


def _said(at: Instant, place: str, text: str) -> _Message:
    return _Message(at, "vllm.entrypoints.serve.utils.request_logger", place, text)


def _engine(at: Instant, place: str, text: str) -> _Message:
    return _Message(at, "vllm.v1.engine.async_llm", place, text)


def _access(at: Instant, rng: np.random.Generator) -> _Message:
    port = rng.integers(32768, 60999)
    return _Message(at, "uvicorn.access", "", f'127.0.0.1:{port} - "POST /v1/chat/completions HTTP/1.1" 200')


def _deltas(served: Served) -> Iterator[_Message]:
    """One line a token, evenly between the first and the last."""
    for at in np.linspace(served.first_token, served.end, served.output_tokens).tolist():
        text = f"Generated response {vllm_id(served)} (streaming delta): output: ' word', finish_reason: None"
        yield _said(Instant(at), "request_logger.py:108", text)


def _generated(served: Served, rng: np.random.Generator) -> Iterator[_Message]:
    stream = served.request.stream
    what, reason = (" (streaming complete)", "streaming_complete") if stream else ("", "length")
    at = later(served.end, rng.uniform(0.0005, 0.0035))
    text = f"Generated response {vllm_id(served)}{what}: output: 'one word and another', finish_reason: {reason}"
    yield _said(at, "request_logger.py:108", text)
    if not stream:
        yield _access(later(at, 0.001), rng)


def _aborted(served: Served, inner: str, rng: np.random.Generator) -> Iterator[_Message]:
    at = later(served.end, rng.uniform(0.0005, 0.0035))
    yield _engine(at, "async_llm.py:922", f"Aborted request(s) {inner}.")
    yield _engine(later(at, 0.002), "async_llm.py:783", f"Request {vllm_id(served)} aborted.")
