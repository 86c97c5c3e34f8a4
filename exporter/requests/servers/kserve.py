"""KServe's Python model server, with the lines of the vLLM that its Hugging Face server runs inside.

    2026-11-21 04:21:30.141 15140 kserve.trace requestId: ID, preprocess_ms: 0.004, explain_ms: 0, predict_ms: 400.4, ..
    2026-11-21 04:21:30.143 uvicorn.access INFO:     ADDRESS PID - "POST /v1/models/m%3Apredict HTTP/1.1" 200 OK
    2026-11-21 04:21:30.143 15140 kserve.trace kserve.io.v1.models.m:predict: 0.4 ['http_status:200', .., 'time:wall']
    INFO 11-21 04:21:30 [logger.py:40] Received request ...                              vLLM, read as in vllm_lines

All three of KServe's come when a request has ended. The trace has the model's own time and an id; the timing
(`kserve.io`) the time of the whole HTTP request, streams included, and no id. A request is told once, by the best that
speaks of it: vLLM's request lines, else its trace, else its timing, which is all there is of a failure and of OpenAI's
endpoints; a request without an id is given one. The first access line is held back until a further one shows that
nothing better comes: only then do they count.

KServe decodes a path before it prints it, so a client that may ask any path can put lines of its own into this log.
"""

import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Counted, Dropped, Heard, Ignored, Outcome, ServerRestarted, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant, later
from exporter.requests.parts import chatter
from exporter.requests.parts.access import Access, access
from exporter.requests.parts.stamps import Moment, Stamp, iso_stamps, moment, time_zone
from exporter.requests.parts.vllm_lines import VllmReader
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "told at the end: of the model's work by traces, of the HTTP request by timings; arrival by vLLM's lines",
    "first_token": "no; of vLLM inside, where its deltas are logged",
    "end": "yes; of clients that left, only by vLLM's lines",
    "tokens": "no",
    "clock": "local time in milliseconds; vLLM's lines whole seconds",
}
ADVICE = (
    "KServe tells this by default (--enable_latency_logging true, and no --log_config_file that silences "
    "kserve.trace); clients that send X-Request-Id give their requests names. For the Hugging Face server with vLLM "
    "add --enable-log-requests --enable-log-outputs, or read KServe's front by the proxy, for starts as they happen."
)

_HEAD = 1_024
_LONGEST_SECONDS = 1e7
_NO_ID = "N.A."

_NUMBER = r"\d{1,12}(?:\.\d{1,20})?(?:e-?\d{1,3})?"
_PREFIX = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d{1,9}) (?:\d{1,9} )?([\w.]{1,80}) "
    r"(?:(DEBUG|INFO|WARNING|ERROR|CRITICAL):? +)?(?:\[[^\]]{1,160}\] ?)?"
)
_TRACE = re.compile(
    rf"requestId: (.{{1,256}}), preprocess_ms: ({_NUMBER})(?:, explain_ms: ({_NUMBER}))?, "
    rf"predict_ms: ({_NUMBER}), postprocess_ms: ({_NUMBER})\s*\Z"
)
_TIMING = re.compile(
    rf"kserve\.io\.(.{{1,512}}?):? ({_NUMBER}),? "
    r"\['http_status:(\d{3}|None)', 'http_method:([A-Z]{1,10})', 'time:(wall|cpu)'\]\s*\Z"
)
_TRACED = (":predict", ".predict", ":explain", ".explain", ".infer")
_INFERENCE = (
    *_TRACED,
    ".generate",
    ".generate_stream",
    ".completions",
    ".embeddings",
    ".rerank",
    ".score",
    ".create_completion",
    ".create_chat_completion",
    ".create_embedding",
    ".create_rerank",
)
_MODEL = re.compile(r"v[12]\.models\.(.{1,200}?)(?:\.versions\.[^.]{1,80})?(?::predict|:explain|\.infer|\.generate)")
_STARTED_PROCESS = "Started server process ["

_REPEAT = Ignored("repeat")
_CPU_TIME = Ignored("cpu_time")
_ACCESS_LINE = Ignored("access_line")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_BAD_LINE = Dropped("bad_trace_line")
_NO_TIME = Dropped("no_time")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of a KServe model server's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source kserve has no options")
    return KserveReader(time_zone(timezone))


class KserveReader:
    """Reads one KServe model server's log."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._stamps = iso_stamps(zone)
        self._vllm = VllmReader(zone)
        self._traces = False
        self._timings = False
        self._fresh = False
        self._held: Counted | None = None
        self._nameless = 0

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        head = line.text[:_HEAD]
        found = _PREFIX.match(head)
        if found is None:
            plain = access(head)
            return self._access(plain, None, line) if plain else self._vllm.feed(line)
        text, logger, level = found.groups()
        message, stamp = head[found.end() :], self._stamps.read(text, line.not_after)
        if message.startswith("requestId: "):
            return self._trace(message, stamp, line)
        if message.startswith("kserve.io."):
            return self._timing(message, stamp, line)
        if logger == "uvicorn.access" and (plain := access(message)):
            return self._access(plain, stamp, line)
        if message.startswith(_STARTED_PROCESS):
            return self._restarted(moment(line, stamp))
        return chatter.logged(level or "INFO", message, starting=self._fresh)

    def snapshot(self) -> Mapping[str, Any]:
        """What this log was seen to hold, the access line held back, how many ids were made, and vLLM's own."""
        return {
            "traces": self._traces,
            "timings": self._timings,
            "fresh": self._fresh,
            "held": None if self._held is None else [self._held.at, self._held.outcome],
            "nameless": self._nameless,
            "vllm": self._vllm.snapshot(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            held, nameless, vllm = snapshot["held"], int(snapshot["nameless"]), snapshot["vllm"]
            counted = None if held is None else Counted(Instant(float(held[0])), _outcome_of(held[1] != "ok"))
        except (KeyError, TypeError, ValueError, IndexError):
            return
        self._held, self._nameless = counted, nameless
        self._traces, self._timings = bool(snapshot.get("traces")), bool(snapshot.get("timings"))
        self._fresh = bool(snapshot.get("fresh"))
        self._vllm.restore(vllm)

    # One line, by what it says

    def _trace(self, message: str, stamp: Stamp | None, line: Line) -> Heard:
        self._traces, self._fresh, self._held = True, False, None
        found, when = _TRACE.match(message), moment(line, stamp)
        if found is None:
            return _BAD_LINE
        id_ = found[1] if found[1] != _NO_ID else self._name()
        seconds = sum(float(part) for part in found.groups("0")[1:]) / 1e3
        return _completed(id_, when, seconds, "ok", None)

    def _timing(self, message: str, stamp: Stamp | None, line: Line) -> Heard:
        self._timings, self._held = True, None
        found = _TIMING.match(message)
        if found is None:
            return _BAD_LINE
        name, seconds, status, method, clock = found.groups()
        if method != "POST" or not name.endswith(_INFERENCE):
            return _OTHER_ENDPOINT
        if clock == "cpu":
            return _CPU_TIME
        self._fresh = False
        failed = status == "None" or status >= "400"
        better = self._traces if name.endswith(_TRACED) else self._vllm.logs_requests
        if better and not failed:
            return _REPEAT
        model = _MODEL.match(name)
        when = moment(line, stamp)
        return _completed(self._name(), when, float(seconds), _outcome_of(failed), model[1] if model else None)

    def _access(self, found: Access, stamp: Stamp | None, line: Line) -> Heard:
        if not found.asks_inference:
            return _OTHER_ENDPOINT
        if self._traces or self._timings or self._vllm.logs_requests:
            return _ACCESS_LINE
        self._fresh = False
        when = moment(line, stamp)
        before = self._held
        self._held = Counted(when.at if when else line.not_after, _outcome_of(found.status >= 400))
        return Used((before,)) if before else _ACCESS_LINE

    def _restarted(self, when: Moment | None) -> Heard:
        if self._fresh and not self._vllm.logs_requests:
            return chatter.STARTUP
        self._fresh, self._traces, self._timings, self._held = True, False, False, None
        self._vllm = VllmReader(self._zone)
        return Used((ServerRestarted(when.at),)) if when else chatter.STARTUP

    def _name(self) -> str:
        self._nameless += 1
        return f"nameless-{self._nameless}"


def _completed(id_: str, when: Moment | None, seconds: float, outcome: Outcome, model: str | None) -> Heard:
    if when is None:
        return _NO_TIME
    if seconds > _LONGEST_SECONDS:
        return _BAD_LINE
    start, half = later(when.at, -seconds), when.uncertainty
    return Used((Completed(id_, start, when.at, half, half, outcome=outcome, model=model),))


def _outcome_of(failed: bool) -> Outcome:  # noqa: FBT001 - it is the whole question
    return "error" if failed else "ok"
