"""SGLang's log: its request lines as text or JSON, its export of one JSON object a request, else its access lines.

    [2026-11-21 04:12:53] Receive: obj=GenerateReqInput(rid='ID', ...)                  a request arrived
    [2026-11-21 04:12:54] Finish: obj=GenerateReqInput(...), out={'meta_info': {...}}   it ended
    [2026-11-21 04:12:54] {"timestamp": ..., "event": "request.received", "rid": "ID", ...}     the same as JSON;
    [2026-11-21 04:12:55] {"timestamp": ..., "event": "request.finished", ..., "out": {...}}    not pure: the bracket
    {"request_parameters": ..., "id": "ID", "finish_reason": {...}, "e2e_latency": ...}  --export-metrics-to-file
    [2026-04-05 20:02:51] INFO:     ADDRESS - "POST /v1/chat/completions HTTP/1.1" 200 OK      when the response starts

The end tells all: `meta_info` has tokens and `e2e_latency`, with --enable-metrics also the wall-clock instants of
arrival, first forward pass, end of prefill and end. So an end is news of a whole request, and the start that was told
before is made more exact by it. Without a latency the end is told alone.

A request whose client left is finished as `abort` if somebody still waited for it; else a debug line or the trace of
its handler names it, and a stream may just fall silent.

A prompt cannot forge an event. SGLang escapes line ends, so a prompt stays within its line; there the repr is walked
by its brackets and quotes (see pyrepr), and JSON is parsed.
"""

import json
import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import (
    Completed,
    Counted,
    Dropped,
    Ended,
    Heard,
    Ignored,
    ServerRestarted,
    Started,
    Used,
)
from exporter.domain.lines import Line
from exporter.domain.units import later
from exporter.requests.parts import chatter
from exporter.requests.parts.access import Access, access
from exporter.requests.parts.sglang_meta import Finish, finish_of, ids_of, read_finish, received_ids
from exporter.requests.parts.stamps import Moment, Stamp, iso_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "arrival, with --log-requests; execution, told at the end, with --enable-metrics as well",
    "first_token": "the end of prefill, told at the end, with --enable-metrics",
    "end": "with --log-requests or --export-metrics-to-file; not of streams that their client left",
    "tokens": "prompt, cached and output",
    "clock": "local time in whole seconds as text, microseconds as JSON; the end's own times are microseconds",
}
ADVICE = (
    "Run SGLang with --log-requests --log-requests-level 0 --enable-metrics (level 0 logs no prompts; "
    "--log-requests-format json has finer stamps, SGLANG_LOG_REQUEST_EXCEEDED_MS must not hide short requests), or "
    "with --enable-metrics --export-metrics-to-file --export-metrics-to-file-dir DIR and read DIR/*.log, which shows "
    "requests only when they end. Without these its access lines can be counted, never placed in time."
)

_MOST_OPEN = 65_536

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(
    r"\[(?:(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,9})?)|\d\d:\d\d:\d\d)"
    r"(?: [A-Z]{2,4}\d{1,5}){0,6}\] ?"
)
_UVICORN = re.compile(r"([A-Z]+): +")
_ABORTS = (
    re.compile(r"Abort (?:queued|running|grammar queue) request\. req\.rid='([^']{1,256})'"),
    re.compile(
        r"ValueError: Request is disconnected from the client side[^.]{0,16}\. Abort request \w{0,8}\.?rid=(.+)"
    ),
)
_REQUEST_LINES = ("Receive: obj=", "Finish: obj=")
_BATCH_LINES = ("Prefill batch", "Decode batch", "Cache hit rate")
_STARTED_PROCESS = "Started server process ["
_HEAD = 600

_REPEAT = Ignored("repeat")
_DETAIL = Ignored("request_detail")
_STATS = Ignored("batch_stats")
_ACCESS_LINE = Ignored("access_line")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_OTHER_JSON = Ignored("other_json")
_BAD_LINE = Dropped("bad_request_line")
_BAD_JSON = Dropped("bad_json")
_NO_TIME = Dropped("no_time")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of SGLang's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source sglang has no options")
    return SglangReader(time_zone(timezone))


class SglangReader:
    """Reads one SGLang server's log, or the files it exports."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._stamps = iso_stamps(zone)
        self._open: dict[str, None] = {}
        self._logs_requests = False
        self._restart_rank = 0
        self._fresh = False
        self._latest: Stamp | None = None

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        text = line.text
        if "\x1b" in text[:_HEAD]:
            text = _ANSI.sub("", text)
        found = _PREFIX.match(text)
        at = found.end() if found else 0
        stamp = self._stamp(found[1], line) if found else None
        if text.startswith("{", at):
            return self._json(text[at:], stamp, line)
        if found is None:
            return self._printed(text, line)
        if text.startswith(_REQUEST_LINES, at):
            return self._request_line(text, at, stamp, line)
        return self._message(text[at : at + _HEAD], stamp, line)

    def snapshot(self) -> Mapping[str, Any]:
        """Open ids, what kind of log this is, and the last stamp, for lines that have none."""
        return {
            "open": list(self._open),
            "logs_requests": self._logs_requests,
            "restart_rank": self._restart_rank,
            "fresh": self._fresh,
            "latest": self._latest,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            opened = {str(id_): None for id_ in snapshot["open"]}
            rank, latest = int(snapshot["restart_rank"]), snapshot["latest"]
            stamp = None if latest is None else Stamp(float(latest[0]), float(latest[1]))
        except (KeyError, TypeError, ValueError, IndexError):
            return
        self._open, self._restart_rank, self._latest = opened, rank, stamp
        self._logs_requests = bool(snapshot.get("logs_requests"))
        self._fresh = bool(snapshot.get("fresh"))

    # One line, by its shape

    def _json(self, text: str, stamp: Stamp | None, line: Line) -> Heard:
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            return _BAD_JSON
        if not isinstance(record, dict):
            return _OTHER_JSON
        if "request_parameters" in record:
            return self._finished(finish_of(record.get("id"), record), stamp, line)
        event, finer = record.get("event"), record.get("timestamp")
        if isinstance(finer, str):
            stamp = self._stamps.read(finer, line.not_after) or stamp
        if event == "request.received":
            return self._received(ids_of(record.get("rid")), stamp, line)
        if event == "request.finished":
            out = record.get("out")
            meta = out.get("meta_info") if isinstance(out, dict) else None
            return self._finished(finish_of(record.get("rid"), meta if isinstance(meta, dict) else {}), stamp, line)
        return _DETAIL if isinstance(event, str) and event.startswith("request.") else _OTHER_JSON

    def _request_line(self, text: str, at: int, stamp: Stamp | None, line: Line) -> Heard:
        if text.startswith("Receive", at):
            return self._received(received_ids(text, text.find("=", at) + 1), stamp, line)
        return self._finished(read_finish(text, text.find("=", at) + 1), stamp, line)

    def _message(self, message: str, stamp: Stamp | None, line: Line) -> Heard:
        if message.startswith(_BATCH_LINES):
            return _STATS
        if message.startswith("Receive OpenAI: "):
            return _DETAIL
        if found := access(message):
            return self._access(found, stamp, line)
        if message.startswith("server_args="):
            return self._restarted(2, moment(line, stamp))
        return self._aborted(message, line) or self._other(message, stamp, line)

    def _printed(self, text: str, line: Line) -> Heard:
        if found := access(text):
            return self._access(found, None, line)
        head = text[:_HEAD]
        if _UVICORN.match(head):
            return self._other(head, None, line)
        return self._aborted(head, line) or chatter.printed(head)

    def _other(self, message: str, stamp: Stamp | None, line: Line) -> Heard:
        found = _UVICORN.match(message)
        rest = message[found.end() :] if found else message
        if rest.startswith(_STARTED_PROCESS):
            return self._restarted(1, moment(line, stamp))
        # SGLang's own lines have no level.
        return chatter.logged(found[1] if found else "INFO", rest, starting=self._fresh)

    # One message, by what it says

    def _received(self, ids: list[str], stamp: Stamp | None, line: Line) -> Heard:
        self._logs_requests, self._fresh = True, False
        if not ids:
            return _BAD_LINE
        new = [id_ for id_ in dict.fromkeys(ids) if id_ not in self._open]
        when = moment(line, stamp)
        if when is None:
            return _NO_TIME
        self._open.update(dict.fromkeys(new))
        while len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return Used(tuple(Started(id_, *when) for id_ in new)) if new else _REPEAT

    def _finished(self, finish: Finish | None, stamp: Stamp | None, line: Line) -> Heard:
        self._logs_requests, self._fresh = True, False
        if finish is None:
            return _BAD_LINE
        when = moment(line, finish.span.end or stamp)
        if when is None:
            return _NO_TIME
        for id_ in finish.ids:
            self._open.pop(id_, None)
        tell = _ended if finish.span.seconds is None else _completed
        return Used(tuple(tell(id_, when, finish) for id_ in finish.ids))

    def _aborted(self, message: str, line: Line) -> Heard | None:
        for pattern in _ABORTS if "Abort" in message else ():
            found = pattern.match(message)
            id_ = found[1].strip().strip("'\"") if found else None
            if id_ is None:
                continue
            if id_ not in self._open:
                return _REPEAT
            when = moment(line, self._latest)
            if when is None:
                return _NO_TIME
            del self._open[id_]
            return Used((Ended(id_, *when, "aborted", "abort"),))
        return None

    def _access(self, found: Access, stamp: Stamp | None, line: Line) -> Heard:
        if not found.asks_inference:
            return _OTHER_ENDPOINT
        if self._logs_requests:
            return _ACCESS_LINE
        self._fresh = False
        when = moment(line, stamp)
        return Used((Counted(when.at if when else line.not_after, "ok" if found.status < 400 else "error"),))

    def _restarted(self, rank: int, when: Moment | None) -> Heard:
        if rank < self._restart_rank or self._fresh:
            return chatter.STARTUP
        self._restart_rank, self._fresh, self._logs_requests = rank, True, False
        self._open.clear()
        return Used((ServerRestarted(when.at),)) if when else chatter.STARTUP

    def _stamp(self, text: str | None, line: Line) -> Stamp | None:
        stamp = None if text is None else self._stamps.read(text, line.not_after)
        if stamp is not None:
            self._latest = stamp
        return stamp


def _ended(id_: str, when: Moment, finish: Finish) -> Ended:
    return Ended(
        id_,
        *when,
        finish.outcome,
        "abort" if finish.outcome == "aborted" else "finish",
        prompt_tokens=finish.prompt_tokens,
        cached_tokens=finish.cached_tokens,
        output_tokens=finish.output_tokens,
    )


def _completed(id_: str, when: Moment, finish: Finish) -> Completed:
    span = finish.span
    return Completed(
        id_,
        later(when.at, -span.run),
        when.at,
        when.uncertainty,
        when.uncertainty,
        None if span.decode is None else later(when.at, -span.decode),
        span.queued,
        finish.outcome,
        prompt_tokens=finish.prompt_tokens,
        cached_tokens=finish.cached_tokens,
        output_tokens=finish.output_tokens,
    )
