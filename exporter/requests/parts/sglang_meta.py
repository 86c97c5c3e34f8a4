"""What SGLang's `meta_info` says when a request ends: tokens, outcome, and its stages in time."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from exporter.domain.events import Outcome
from exporter.requests.parts.pyrepr import keys, number_at, string_at, strings_at
from exporter.requests.parts.stamps import Stamp

_MOST_OF_A_BATCH = 4_096
_LONGEST_ID = 256
_LONGEST_SECONDS = 1e7
_MOST_TOKENS = float(1 << 40)
_WALL = (1e9, 1e11)  # what can be seconds since 1970; older releases have times of other clocks under the same names
_PRECISION = 1e-6


class Span(NamedTuple):
    """A request's stages in seconds before its end, by the server's own clocks.

    Attributes:
        end: when it ended, where it says so.
        seconds: since it arrived; None where it does not say. run: since it began to execute; at most `seconds`.
        decode: since its first token.
        queued: what is between `seconds` and `run`.
    """

    end: Stamp | None
    seconds: float | None
    run: float
    decode: float | None
    queued: float

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> "Span":
        """The stages that the numbers of a `meta_info` tell."""
        received, finished = _number(meta, "request_received_ts", *_WALL), _number(meta, "request_finished_ts", *_WALL)
        seconds = _number(meta, "e2e_latency", 0.0, _LONGEST_SECONDS)
        if seconds is None and received is not None and finished is not None:
            seconds = max(finished - received, 0.0)
        if finished is None and received is not None and seconds is not None:
            finished = received + seconds
        end = None if finished is None else Stamp(finished, _PRECISION)
        if seconds is None:
            return cls(end, None, 0.0, None, 0.0)
        run = _since(meta, "forward_entry_time", finished, seconds)
        if run is None:
            queued = _number(meta, "queue_time", 0.0, seconds)
            run = seconds - (queued or 0.0)
        decode = _since(meta, "prefill_finished_time", finished, run)
        if decode is None:
            first = _number(meta, "first_token_latency", 0.0, seconds)
            decode = None if first is None else min(seconds - first, run)
        return cls(end, seconds, run, decode, seconds - run)


class Finish(NamedTuple):
    """What the end of a request says; more than one id where it was the end of a whole batch."""

    ids: list[str]
    span: Span
    outcome: Outcome
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None


def received_ids(text: str, start: int) -> list[str]:
    """The ids of the request, or the batch of them, whose object begins here; empty where none is to be had."""
    for key in keys(text, start):
        if key.depth == 1 and key.name in ("rid", "request_id"):
            return ids_of(strings_at(text, key.at, _MOST_OF_A_BATCH))
        if key.depth == 0 and key.name != "obj":
            break
    return []


def read_finish(text: str, start: int) -> Finish | None:
    """What a text line says from its object on, which comes first, to its `out`, which is last; None without an id."""
    part, group, word = "obj", "", ""
    ids: list[str] = []
    meta: dict[str, Any] = {}
    reason: dict[str, Any] = {}
    for key in keys(text, start):
        if key.depth == 0:
            part = key.name
        elif key.depth == 1:
            group = key.name
            if part == "obj" and not ids and key.name in ("rid", "request_id"):
                ids = ids_of(strings_at(text, key.at, _MOST_OF_A_BATCH))
        elif part == "out" and group == "meta_info":
            if key.depth == 2:
                word = key.name
                meta[word] = number_at(text, key.at)
            elif key.depth == 3 and word == "finish_reason":
                reason[key.name] = number_at(text, key.at) if key.name == "status_code" else string_at(text, key.at)
    return _finish(ids, meta, reason) if ids else None


def finish_of(rid: object, meta: Mapping[str, Any]) -> Finish | None:
    """What JSON says; None without a good id."""
    ids, reason = ids_of(rid), meta.get("finish_reason")
    return _finish(ids, meta, reason if isinstance(reason, dict) else {"type": reason}) if ids else None


def _finish(ids: list[str], meta: Mapping[str, Any], reason: Mapping[str, Any]) -> Finish:
    tokens = (_count(meta, key) for key in ("prompt_tokens", "cached_tokens", "completion_tokens"))
    return Finish(ids, Span.of(meta), _outcome(reason), *tokens)


def ids_of(rid: object) -> list[str]:
    """An id or a list of ids as a list; empty where one of them is none."""
    ids: list[Any] = rid if isinstance(rid, list) else [rid]
    good = all(isinstance(id_, str) and 0 < len(id_) <= _LONGEST_ID for id_ in ids)
    return ids if good and len(ids) <= _MOST_OF_A_BATCH else []


def _outcome(reason: Mapping[str, Any]) -> Outcome:
    if reason.get("type") != "abort":
        return "ok"
    status = reason.get("status_code")
    return "error" if isinstance(status, int | float) and status >= 400 else "aborted"


def _number(meta: Mapping[str, Any], key: str, low: float, high: float) -> float | None:
    value = meta.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # NaN is nowhere
        return None
    return float(value)


def _count(meta: Mapping[str, Any], key: str) -> int | None:
    number = _number(meta, key, 0.0, _MOST_TOKENS)
    return None if number is None else int(number)


def _since(meta: Mapping[str, Any], key: str, end: float | None, most: float) -> float | None:
    """Seconds from an instant to the end, where that instant is within the request."""
    at = _number(meta, key, *_WALL)
    return end - at if at is not None and end is not None and 0.0 <= end - at <= most else None
