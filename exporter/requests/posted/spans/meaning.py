"""Which spans are requests to a model, and what they say of them.

    engine     vLLM's and TensorRT-LLM's `llm_request` (gen_ai.latency.*), TGI's (total_time, inference_time, as Rust
               writes durations), Triton's model spans (triton.*; those of an ensemble's members are parts of it)
    GenAI      OpenTelemetry's semantic conventions by old and new names, OpenLLMetry's and OpenInference's, LiteLLM's:
               an operation that asks a model, or without one a model that was named and tokens that were counted

Every other span is ignored by its kind: an agent's or a tool's, one of HTTP, one of a server's own start-up.
"""

import re
from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from exporter.domain.events import Completed, Dropped, Ignored, Outcome
from exporter.domain.units import Instant
from exporter.requests.posted.spans.span import CLIENT, INTERNAL, SERVER, Span, Value

CLOCK_UNCERTAINTY_SECONDS = 1e-6
"""Of a span's nanoseconds, as a double holds them; how far off the sender's clock is nobody can tell."""
FUTURE_TOLERANCE_SECONDS = 60.0
_LONGEST_SECONDS = 1e8
_MOST_TOKENS = 1 << 40

ENGINE_RANK, SERVER_RANK, INTERNAL_RANK, CLIENT_RANK = 3, 2, 1, 0
_RANKS = {SERVER: SERVER_RANK, INTERNAL: INTERNAL_RANK, CLIENT: CLIENT_RANK}

_ASKING = frozenset({
    "chat", "completion", "text_completion", "generate", "generate_content", "embeddings", "embedding", "rerank",
    "reranker", "llm", "acompletion", "atext_completion", "aembedding", "arerank", "responses", "aresponses",
})  # fmt: skip
_OTHERS = {
    "invoke_agent": "agent", "create_agent": "agent", "agent": "agent", "workflow": "agent", "task": "agent",
    "invoke_workflow": "agent", "chain": "agent", "execute_tool": "tool", "tool": "tool",
}  # fmt: skip
_OPERATIONS = ("gen_ai.operation.name", "openinference.span.kind", "llm.request.type", "traceloop.span.kind")
_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "triton.model_name")
_PROMPT_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT_TOKENS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_CACHED_TOKENS = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.prompt_tokens_details.cached_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_TIMES_TO_FIRST = (
    "gen_ai.latency.time_to_first_token",
    "gen_ai.server.time_to_first_token",
    "gen_ai.response.time_to_first_token",
    "gen_ai.response.time_to_first_chunk",
)
_NAMES = ("gen_ai.request.id", "gen_ai.response.id")
_ABORTED = re.compile(r"abort|cancel|disconnect", re.IGNORECASE)
_RUST_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ns|µs|μs|us|ms|s)")
_RUST_UNITS = {"ns": 1e-9, "ms": 1e-3, "s": 1.0}

_BAD_IDS = Dropped("bad_ids")
_BAD_TIMES = Dropped("bad_times")
_IN_FUTURE = Dropped("in_future")


class SpanRequest(NamedTuple):
    """A request as a span tells it.

    Attributes:
        aliases: other names that it has: the span's id, a client's.
        rank: how close to the model it was seen; the higher the closer.
        caller: what all spans have in common that are made at this place: whose, of which model, asking whom.
    """

    event: Completed
    aliases: tuple[str, ...]
    rank: int
    caller: tuple[str, ...]


def request_of(span: Span, wall_offset: float, latest: Instant) -> SpanRequest | Ignored | Dropped:
    """What this span says of a request, if it is one.

    Args:
        span: any span.
        wall_offset: seconds that make an instant of a wall-clock stamp.
        latest: the present, or when the text that holds the span was there at the latest.
    """
    engine = _is_engine(span)
    if engine is None:
        return _asks(span) or _told(span, _RANKS.get(span.kind, CLIENT_RANK), wall_offset, latest)
    return engine if isinstance(engine, Ignored) else _told(span, ENGINE_RANK, wall_offset, latest)


def _is_engine(span: Span) -> Ignored | bool | None:
    """Whether an inference engine tells of a request; why not, where it tells of something else; None: no engine."""
    attributes = span.attributes
    if "triton.model_name" in attributes:
        return Ignored("part") if attributes.get("triton.trace_parent_id") else True
    latencies = "gen_ai.latency.e2e" in attributes or "gen_ai.latency.time_to_first_token" in attributes
    if latencies or span.name == "llm_request" or ("inference_time" in attributes and "total_time" in attributes):
        return True
    return None


def _asks(span: Span) -> Ignored | None:
    """None for a span that asks a model; otherwise what it is instead."""
    attributes = span.attributes
    named = [str(attributes[key]).lower() for key in _OPERATIONS if key in attributes]
    if any(one in _ASKING for one in named):
        return None
    if named:
        return Ignored(_OTHERS.get(named[0], "other_operation"))
    model = any(key in attributes for key in _MODELS)
    if model and any(key in attributes for key in (*_PROMPT_TOKENS, "gen_ai.system", "gen_ai.provider.name")):
        return None
    if "http.request.method" in attributes or "http.method" in attributes or "rpc.system" in attributes:
        return Ignored("http")
    return Ignored("startup" if "code.function" in attributes else "other")


def _told(span: Span, rank: int, wall_offset: float, latest: Instant) -> SpanRequest | Dropped:
    if not span.trace_id or not span.span_id:
        return _BAD_IDS
    seconds = (span.end_ns - span.start_ns) / 1e9
    if span.start_ns <= 0 or not 0.0 <= seconds < _LONGEST_SECONDS:
        return _BAD_TIMES
    end = span.end_ns / 1e9 + wall_offset
    if end > latest + FUTURE_TOLERANCE_SECONDS:
        return _IN_FUTURE
    attributes = span.attributes
    queued = _queued(attributes, seconds)
    arrival = span.start_ns / 1e9 + wall_offset
    names = [*_texts(attributes, _NAMES), span.span_id]
    event = Completed(
        id=names[0],
        start=Instant(arrival + queued),
        end=Instant(end),
        start_uncertainty=CLOCK_UNCERTAINTY_SECONDS,
        end_uncertainty=CLOCK_UNCERTAINTY_SECONDS,
        first_token=_first_token(span, arrival, queued, seconds),
        queued_seconds=queued,
        outcome=_outcome(span),
        model=next(iter(_texts(attributes, _MODELS)), None),
        prompt_tokens=_tokens(attributes, _PROMPT_TOKENS),
        cached_tokens=_tokens(attributes, _CACHED_TOKENS),
        output_tokens=_output_tokens(attributes),
        trace_id=span.trace_id,
    )
    aliases = (*names[1:], *_texts(attributes, ("triton.request_id",)))
    asked = tuple(str(attributes.get(key, "")) for key in ("gen_ai.request.model", "server.address", "server.port"))
    return SpanRequest(event, aliases, rank, (span.service or "", *asked))


def _queued(attributes: Mapping[str, Value], seconds: float) -> float:
    """What passed between arrival and execution, as far as it is told."""
    inference = _duration(attributes.get("inference_time"))
    queued = _number(attributes.get("gen_ai.latency.time_in_queue"))
    if queued is None and inference is not None:
        queued = seconds - inference
    return queued if queued is not None and 0.0 <= queued <= seconds else 0.0


def _first_token(span: Span, arrival: float, queued: float, seconds: float) -> Instant | None:
    after = next((one for key in _TIMES_TO_FIRST if (one := _number(span.attributes.get(key))) is not None), None)
    if after is None and span.first_token_ns is not None:
        after = (span.first_token_ns - span.start_ns) / 1e9
    # Outside of the execution it is none of its tokens: a zero, another unit, another clock.
    return Instant(arrival + after) if after is not None and queued < after <= seconds else None


def _outcome(span: Span) -> Outcome:
    reasons = span.attributes.get("gen_ai.response.finish_reasons", ())
    why = [str(one) for one in (reasons if isinstance(reasons, tuple) else (reasons,))]
    if any(_ABORTED.search(one) for one in (*why, str(span.attributes.get("error.type", "")))):
        return "aborted"
    return "error" if span.failed or "error.type" in span.attributes or "error" in why else "ok"


def _output_tokens(attributes: Mapping[str, Value]) -> int | None:
    told = _tokens(attributes, _OUTPUT_TOKENS)
    if told is not None:
        return told
    # TGI divides the time by the tokens in whole nanoseconds, so the quotient rounds back to them.
    all_of_them, each = (_duration(attributes.get(key)) for key in ("inference_time", "time_per_token"))
    return round(all_of_them / each) if all_of_them and each and all_of_them / each < _MOST_TOKENS else None


def _tokens(attributes: Mapping[str, Value], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        number = _number(attributes.get(key))
        if number is not None and 0 <= number <= _MOST_TOKENS and number == int(number):
            return int(number)
    return None


def _texts(attributes: Mapping[str, Value], keys: tuple[str, ...]) -> list[str]:
    found = (attributes.get(key) for key in keys)
    return [one for one in found if isinstance(one, str) and one]


def _number(value: Value | None) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1 << 64 and isfinite(value) else None


def _duration(value: Value | None) -> float | None:
    """Seconds of what Rust prints of a duration: `357.867572ms`."""
    found = _RUST_DURATION.fullmatch(value.strip('"')) if isinstance(value, str) else None
    return float(found[1]) * _RUST_UNITS.get(found[2], 1e-6) if found else None
