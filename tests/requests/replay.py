"""Real logs as a reader meets them: read back from a file, or live, poll by poll.

When a line was written is derived from what the clients of the same run saw: their clock is the truth here.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil, inf
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from exporter.domain.events import Completed, Counted, Ended, FirstToken, Heard, RequestEvent, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.arrival.envelope import EnvelopeDecoder, EnvelopeKind
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS

LOGS = Path(__file__).parent / "logs"
POLL_SECONDS = 0.1
SOME_TIME = 1795240000.0  # 2026-11-21T05:46:40Z, after every log here


@dataclass(frozen=True, eq=False)
class Log:
    """A recorded log, the reader for it, and whose clients saw the same requests."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    truth: str | None = None
    envelope: EnvelopeKind = "none"

    def reader(self) -> RequestReader:
        return READERS[self.kind].build(self.options, "UTC")


def _with_own_truth(name: str, kind: str) -> Log:
    return Log(f"{name}.log", kind, truth=f"{name}.client.jsonl")


VLLM_LOGS = tuple(
    _with_own_truth(f"vllm-{name}", "vllm")
    for name in ("0.11.0-cpu-log-requests", "0.32.0-cpu-log-requests", "0.32.0-cpu-json", "0.32.0-cpu-debug")
)
VLLM_WITHOUT_REQUEST_LINES = _with_own_truth("vllm-0.32.0-cpu-default", "vllm")
TIMED_LLAMA_LOGS = tuple(
    _with_own_truth(f"llama-server-{name}", "llamacpp")
    for name in ("b10434-default", "b10434-timestamps", "b10434-lv4", "b11434-jsonl")
)
BARE_LLAMA_LOG = _with_own_truth("llama-server-b11434-ollama-flags", "llamacpp")
OLD_LLAMA_LOGS = tuple(
    Log(f"llama-server-via-xllamacpp-{name}.log", "llamacpp") for name in ("0.1.12", "0.2.6", "2026.4.8672")
)
FRONT_LOGS = (
    Log("nginx-1.22.1-json.log", "jsonl", {"profile": "nginx"}, "fronts-nginx.client.jsonl"),
    Log("haproxy-2.6.12-json.log", "jsonl", {"profile": "haproxy"}, "fronts-haproxyjson.client.jsonl"),
    Log("traefik-3.7.15-json.log", "jsonl", {"profile": "traefik"}, "fronts-traefik.client.jsonl"),
    Log("envoy-1.40.0-json.log", "jsonl", {"profile": "envoy"}, "fronts-envoy.client.jsonl"),
)
TEXT_FRONT_LOGS = (
    Log("traefik-3.7.15-clf.log", "combined", {}, "fronts-traefikclf.client.jsonl"),
    Log("haproxy-2.6.12-httplog.log", "haproxy", {}, "fronts-haproxy.client.jsonl"),
    Log("envoy-1.40.0-default.log", "envoy", {}, "fronts-envoy.client.jsonl"),
    Log("istio-text-format-via-envoy-1.40.0.log", "envoy", {}, "fronts-istio.client.jsonl"),
)
GATEWAY_LOG = Log(
    "litellm-1.106.2-callback.log", "jsonl", {"profile": "litellm"}, "litellm-1.106.2-callback.client.jsonl"
)
TRACES = Log("vllm-0.32.0-cpu-otlp.jsonl", "otlp", truth="vllm-0.32.0-cpu-json.client.jsonl")
PUSHED = Log("pushed-training-shape.ndjson", "push")
FRONT_WITHOUT_DURATIONS = Log("nginx-1.22.1-combined.log", "combined", {}, "fronts-nginx.client.jsonl")
RAY_LOGS = tuple(
    Log(f"ray-serve-2.60.0-{name}.log", "ray", truth=f"ray-serve-2.60.0-{encoding}.client.jsonl")
    for name, encoding in (
        ("text-proxy", "TEXT"),
        ("text-replica", "TEXT"),
        ("TEXT-driver-stdout", "TEXT"),
        ("json-proxy", "JSON"),
        ("json-replica", "JSON"),
    )
)
TORCHSERVE_LOGS = tuple(Log(f"torchserve-0.12.0-{name}.log", "torchserve") for name in ("access_log", "ts_log-excerpt"))
LLAMA_CPP_PYTHON_LOG = _with_own_truth("llama-cpp-python-0.3.36-live-verbose", "llama_cpp_python")
LLAMA_CPP_PYTHON_WITHOUT_BLOCKS = _with_own_truth("llama-cpp-python-live", "llama_cpp_python")
COUNTED_LOGS = (
    _with_own_truth("transformers-serve-5.19.0", "transformers"),
    _with_own_truth("litellm-1.106.2-plain", "litellm"),
    _with_own_truth("litellm-1.106.2-json", "litellm"),
)
OTHER_LOGS = (
    Log("localai-shape.log", "localai"),
    Log("llama-cpp-python-0.3.36-live-bad-xrequestid.log", "llama_cpp_python"),
    Log("gin-1.8.1-ollama-style.log", "ollama"),
    Log("ollama-journald-shape.log", "ollama"),
    *(Log(f"tgi-3.x-{form}-shape.log", "tgi") for form in ("text", "ansi", "json")),
    Log("triton-trace-shape.json", "triton"),
    Log("triton-verbose-shape.log", "triton"),
    Log("trtllm-serve-shape.log", "trtllm"),
    Log("sglang-0.5.23-driver.log", "sglang"),
    Log("sglang-server-shape.log", "sglang"),
    Log("sglang-export-metrics-shape.log", "sglang"),
    Log("lmdeploy-0.18.0-driver.log", "lmdeploy"),
    Log("lmdeploy-info-shape.log", "lmdeploy"),
    Log("kserve-0.21.0.log", "kserve"),
    Log("kserve-huggingface-vllm-shape.log", "kserve"),
    Log("vllm-v0-shape.log", "vllm"),
    Log("llama-server-2024-kv-and-json-shape.log", "llamacpp"),
    Log("fronts-backend-llama-server-b11434.log", "llamacpp"),
    Log("fronts-backend-istio-run.log", "llamacpp"),
    Log("envoy-ai-gateway-json-shape.log", "jsonl", {"profile": "envoy-ai-gateway"}),
)
WRAPPED_LOGS = (
    Log("llama-server-b7079.docker.log", "llamacpp", envelope="docker"),
    Log("vllm-0.11.0-cpu-log-requests.docker.log", "vllm", envelope="docker"),
    Log("vllm-0.32.0-cpu-log-requests.cri.log", "vllm", envelope="cri"),
    Log("sglang-0.5.23-driver-limit2048.cri.log", "sglang", envelope="cri"),
)
"""Logs in the envelopes of container runtimes, which were put around them later: their stamps are nobody's truth."""
ALL_LOGS = (
    *VLLM_LOGS,
    VLLM_WITHOUT_REQUEST_LINES,
    *TIMED_LLAMA_LOGS,
    BARE_LLAMA_LOG,
    *OLD_LLAMA_LOGS,
    *FRONT_LOGS,
    *TEXT_FRONT_LOGS,
    FRONT_WITHOUT_DURATIONS,
    TRACES,
    PUSHED,
    GATEWAY_LOG,
    *RAY_LOGS,
    *TORCHSERVE_LOGS,
    LLAMA_CPP_PYTHON_LOG,
    LLAMA_CPP_PYTHON_WITHOUT_BLOCKS,
    *COUNTED_LOGS,
    *WRAPPED_LOGS,
    *OTHER_LOGS,
)


# What the clients saw


class Seen(NamedTuple):
    """A request as its client saw it."""

    id: str
    client_id: str
    sent: float
    first: float | None
    ended: float
    aborted: bool
    prompt_tokens: int | None
    output_tokens: int | None
    prompt_ms: float | None
    total_ms: float | None


@cache
def truth(log: Log) -> tuple[Seen, ...]:
    assert log.truth
    rows = [json.loads(row) for row in (LOGS / log.truth).read_text().splitlines()]
    return tuple(_seen(row) for row in rows if "t_end" in row and row.get("resp_id") is not None)


def _seen(row: Mapping[str, Any]) -> Seen:
    usage, timings = row.get("usage") or {}, row.get("timings") or {}
    return Seen(
        # A stub answers every request by one name; its server logs the client's.
        row["rid"] if row["resp_id"] == "x" else row["resp_id"],
        row["rid"],
        row["t_send"],
        row.get("t_first"),
        row["t_end"],
        row["abort"],
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        timings.get("prompt_ms"),
        timings["prompt_ms"] + timings["predicted_ms"] if timings else None,
    )


# When lines were written


@cache
def texts(log: Log) -> tuple[str, ...]:
    raw = (LOGS / log.name).read_bytes().decode("utf-8", "replace").split("\n")
    return tuple(text.removesuffix("\r") for text in raw)


def written(log: Log) -> list[float]:
    """When each line was written, as the clients' clocks have it; a made-up rhythm where no client was recorded."""
    if log.truth is None:
        return [SOME_TIME + 0.01 * number for number in range(len(texts(log)))]
    known = _WITNESSES[log.kind](log)
    found, latest = [], min(known.values()) - 1.0
    for number in range(len(texts(log))):
        latest = max(latest, known.get(number, latest))
        found.append(latest)
    return found


_VLLM_LINE = re.compile(
    r"(Received request|Generated response|Aborted request\(s\)) (chatcmpl-[0-9a-f-]{36})(?! details| \S+ \S+ details)"
)


def _vllm_witnesses(log: Log) -> dict[int, float]:
    seen = {one.id: one for one in truth(log)}
    known: dict[int, float] = {}
    for number, text in enumerate(texts(log)):
        found = _VLLM_LINE.search(text[:400])
        if found is None or found[2] not in seen:
            continue
        one = seen[found[2]]
        if found[1] == "Received request":
            known[number] = one.sent
        elif "(streaming delta)" not in text:
            known[number] = one.ended
        elif one.first is not None:
            known[number] = one.first
    return known or {0: truth(log)[0].sent}


_LLAMA_TIMING = re.compile(r"print_timing: id +\d+ \| task (\d+) \| (prompt eval|     *total) time = +([\d.]+) ms")
_LLAMA_EDGE = re.compile(r"(launch_slot_|release): id +\d+ \| task (\d+) \| (?:stop )?processing")
_LLAMA_CLOCK = re.compile(r'(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) |\{"type":"log","time":(\d+),')


def tasks(log: Log) -> dict[str, Seen]:
    """Which task was whose request: both sides know the same milliseconds."""
    times: dict[str, list[float]] = {}
    for text in texts(log):
        if found := _LLAMA_TIMING.search(text):
            times.setdefault(found[1], []).append(float(found[3]))
    seen = {(one.prompt_ms, one.total_ms): one for one in truth(log) if one.prompt_ms and one.total_ms}
    matches = {task: _nearest(seen, pair) for task, pair in times.items() if len(pair) == 2}
    return {task: one for task, one in matches.items() if one is not None}


def _nearest(seen: Mapping[tuple[float, float], Seen], pair: Sequence[float]) -> Seen | None:
    distance, key = min((abs(key[0] - pair[0]) + abs(key[1] - pair[1]), key) for key in seen)
    return seen[key] if distance < 0.3 else None


def elapsed(text: str) -> float | None:
    found = _LLAMA_CLOCK.match(text)
    if found is None:
        return None
    if found[5]:
        return int(found[5]) / 1e6
    return int(found[1]) * 60 + int(found[2]) + int(found[3]) / 1e3 + int(found[4]) / 1e6


def _llama_witnesses(log: Log) -> dict[int, float]:
    known: dict[int, float] = {}
    whose, starts = tasks(log), []
    for number, text in enumerate(texts(log)):
        found = _LLAMA_EDGE.search(text[:200])
        if found is None or found[2] not in whose:
            continue
        one = whose[found[2]]
        assert one.total_ms
        known[number] = one.ended - (one.total_ms / 1e3 if found[1] == "launch_slot_" else 0.0)
        since = elapsed(text)
        if since is not None and found[1] == "release":
            starts.append(one.ended - since)
    if not starts:
        return known
    clock = [elapsed(text) for text in texts(log)]
    return {number: median(starts) + since for number, since in enumerate(clock) if since is not None}


def _front_witnesses(log: Log) -> dict[int, float]:
    """A front writes when a request ended: its own order of lines, the clients' order of ends."""
    ends = sorted(one.ended for one in truth(log))
    return dict(enumerate([*ends, ends[-1] + 0.01]))


def _id_witnesses(log: Log) -> dict[int, float]:
    """A line at the end of each request, with its id."""
    ends = {one.id: one.ended for one in truth(log)}
    lines = ((number, text) for number, text in enumerate(texts(log)) if "POST /" in text)
    return {number: ends[id_] for number, text in lines for id_ in ends if id_ in text}


def _port_witnesses(log: Log) -> dict[int, float]:
    """A line when each response started, with its client's port."""
    assert log.truth
    rows = [json.loads(row) for row in (LOGS / log.truth).read_text().splitlines()]
    starts = {f":{row['client_port']} - ": row["t_headers"] for row in rows if row.get("t_headers")}
    return {number: starts[port] for number, text in enumerate(texts(log)) for port in starts if port in text}


def _trace_witnesses(log: Log) -> dict[int, float]:
    """Spans are exported after their requests have ended."""
    ended = {one.id: one.ended for one in truth(log)}
    known = {}
    for number, text in enumerate(texts(log)):
        told = [ended[id_] for id_ in re.findall(r'"(chatcmpl-[0-9a-f-]{36})"', text) if id_ in ended]
        if told:
            known[number] = max(told)
    return known


def _block_witnesses(log: Log) -> dict[int, float]:
    """Executions come one after the other: their timings are in the order in which the clients saw them end."""
    known = _port_witnesses(log)
    ends = sorted(one.ended for one in truth(log) if not one.aborted)
    cut = [one.ended for one in truth(log) if one.aborted]
    latest = min(known.values())
    for number, text in enumerate(texts(log)):
        if "total time = " in text:
            latest = known[number] = ends.pop(0)
        elif text == "disconnected" and cut and not ends[1:]:
            latest = known[number] = cut.pop(0)
        elif text.startswith("Llama.generate"):
            known[number] = latest
    return known


_WITNESSES: Mapping[str, Callable[[Log], dict[int, float]]] = {
    "vllm": _vllm_witnesses,
    "llamacpp": _llama_witnesses,
    "jsonl": _front_witnesses,
    "ray": _id_witnesses,
    "otlp": _trace_witnesses,
    "llama_cpp_python": _block_witnesses,
    "transformers": _port_witnesses,
    "litellm": _port_witnesses,
    "combined": _front_witnesses,
    "haproxy": _front_witnesses,
    "envoy": _front_witnesses,
}


# Reading


def back_read(log: Log) -> list[Line]:
    last = Instant(max(written(log)))
    return _unwrapped(log, [Line(text, Instant(-inf), last) for text in texts(log)])


def live(log: Log, poll_seconds: float = POLL_SECONDS) -> list[Line]:
    lines = []
    for text, at in zip(texts(log), written(log), strict=True):
        read = ceil(at / poll_seconds) * poll_seconds
        lines.append(Line(text, Instant(read - poll_seconds), Instant(read)))
    return _unwrapped(log, lines)


def _unwrapped(log: Log, lines: Sequence[Line]) -> list[Line]:
    decoder = EnvelopeDecoder(log.envelope)
    return [inner for line in lines if isinstance(inner := decoder.feed(line), Line)]


def feed(reader: RequestReader, lines: Sequence[Line]) -> list[Heard]:
    return [reader.feed(line) for line in lines]


def events(heard: Sequence[Heard]) -> list[RequestEvent]:
    return [event for one in heard if isinstance(one, Used) for event in one.events]


def surveyed(log: Log) -> RequestReader:
    """A reader that may have looked at the whole file before, as `parse` does."""
    reader, survey = log.reader(), READERS[log.kind].survey
    if survey:
        reader.restore(survey(back_read(log)))
    return reader


class Told(NamedTuple):
    """A request as the events tell it."""

    start: float
    end: float
    first: float | None
    start_uncertainty: float
    end_uncertainty: float
    ended: Ended | Completed


def requests(told: Sequence[RequestEvent]) -> dict[str, Told]:
    starts: dict[str, Started] = {}
    firsts: dict[str, float] = {}
    found: dict[str, Told] = {}
    for event in told:
        if isinstance(event, Started):
            starts[event.id] = event
        elif isinstance(event, FirstToken):
            firsts[event.id] = event.at
        elif isinstance(event, Ended):
            start = starts.pop(event.id)
            found[event.id] = Told(
                start.at, event.at, firsts.get(event.id), start.uncertainty, event.uncertainty, event
            )
        elif isinstance(event, Completed):
            found[event.id] = Told(
                event.start, event.end, event.first_token, event.start_uncertainty, event.end_uncertainty, event
            )
    return found


def counted(told: Sequence[RequestEvent]) -> list[Counted]:
    return [event for event in told if isinstance(event, Counted)]
