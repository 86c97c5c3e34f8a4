"""vLLM's log, from V0 (2024) to V1 of 0.32: request lines where it prints them, else its access lines.

    Received request ID: ...                         a request arrived                      --enable-log-requests
    Generated response ID (streaming delta): ...     a token went out                       --enable-log-outputs
    Generated response ID[ (streaming complete)]: .. it ended
    Finished request ID.                             it ended                               V0 only
    Aborted request(s) ID, ID.  Request ID aborted.  its client left: one abort, two lines
    Request ID failed ...                            it failed
    ADDRESS - "POST /v1/completions HTTP/1.1" 200    uvicorn, when the *response starts*: no time, id or duration

An access line cannot say when a request ran, so it only counts, and only while the log shows no request lines.
Token counts are in no line and stay None.

Ids. `Added` and `Aborted request(s)` may carry `ID-<8 hex>`; the parallel samples of one request (n > 1) are
`0_ID`, `1_ID`: both mean ID. A completion with several prompts is received as `ID-0`, `ID-1`, ..., one request each,
but answered as ID: that ends them all, and its deltas are nobody's first token unless there was only one prompt.

A prompt cannot forge an event. Lines are matched at their start, behind the logger's prefix, and only from the files
that print such lines, because newer releases repeat the prefix on every line of a long message.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Any, NamedTuple

from exporter.domain.events import (
    Closing,
    Counted,
    Dropped,
    Ended,
    FirstToken,
    Heard,
    Ignored,
    Outcome,
    RequestEvent,
    ServerRestarted,
    Started,
    Used,
)
from exporter.domain.lines import Line
from exporter.requests.parts import chatter
from exporter.requests.parts.access import access
from exporter.requests.parts.stamps import Moment, Stamp, iso_stamps, moment, month_day_stamps

_MOST_OPEN = 65_536
_MOST_ENDED = 4_096
_HEAD = 512  # room for prefix, words and id; a prompt behind them is never looked at
_LONGEST_ID = 256
_MOST_SIBLINGS = 1_024

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(
    r"(?:\([^()]{1,64} pid=\d+\) )?"
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\d\d-\d\d \d\d:\d\d:\d\d) \[?([\w./-]+):\d+\] ?"
)
_RECEIVED = re.compile(r"Received request (\S+): (?:prompt|params)")
_ADDED = re.compile(r"Added request (\S+)\.\s*$")
_GENERATED = re.compile(r"Generated response (\S+?)( \(streaming (?:delta|complete)\))?: output: ")
_FINISHED = re.compile(r"Finished request (\S+)\.\s*$")
_ABORTED = re.compile(r"Aborted requests?(?:\(s\))? (.+)\.\s*$", re.DOTALL)
_CLOSED = re.compile(r"Request (\S+) (aborted\.|failed\b)")
_PROCESS = re.compile(r"\([^()]{1,64} pid=\d+\) ?")
_UVICORN = re.compile(r"([A-Z]+): +")
_ENGINE_SUFFIX = re.compile(r"-[0-9a-f]{8}$")
_SAMPLE_PREFIX = re.compile(r"^\d+_")
_FINISH_REASON = "finish_reason: "

_RESTARTS = (
    (3, re.compile(r"vLLM (?:API )?server version|.*█.* version \d", re.DOTALL)),
    (2, re.compile(r"Initializing an? (?:V\d )?LLM engine")),
    (1, re.compile(r"Started server process \[")),
)
"""What a start prints, the surest first: several API servers or engines may repeat the others at any time."""

_NOTHING_NEW = Ignored("repeat")
_DELTA = Ignored("delta")
_DETAIL = Ignored("request_detail")
_STATS = Ignored("engine_stats")
_ACCESS_LINE = Ignored("access_line")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_NOT_OURS = Ignored("foreign_json")
_BAD_LINE = Dropped("bad_request_line")
_BAD_JSON = Dropped("bad_json")
_NO_TIME = Dropped("no_time")


class _Said(NamedTuple):
    """What a logger's line says: its level, the file that said it, the message, and the stamp, not read yet."""

    level: str
    file: str
    message: str
    stamp: object


class VllmReader:
    """Reads one vLLM server's log; several API servers may share it."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._text_stamps = month_day_stamps(zone)
        self._json_stamps = iso_stamps(zone)
        self._open: dict[str, bool] = {}  # id: whether its first token was seen
        self._ended: dict[str, None] = {}
        self._logs_requests = False
        self._restart_rank = 0
        self._fresh = False

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        text = line.text
        if text.startswith("{"):
            return self._json(line)
        head = text[:_HEAD]
        if "\x1b" in head:
            head = _ANSI.sub("", head)
        found = _PREFIX.match(head)
        if found is None:
            return self._unstamped(head, line)
        message = head[found.end() :]
        if len(text) > _HEAD and message.startswith("Aborted"):
            message = text[text.find("Aborted") :]  # the list of ids may be long
        return self._message(_Said(found[1], found[3], message, found[2]), line)

    @property
    def logs_requests(self) -> bool:
        """Whether the log was seen to print request lines since the server started."""
        return self._logs_requests

    def snapshot(self) -> Mapping[str, Any]:
        """Open and lately ended ids, and what kind of log this is."""
        return {
            "open": dict(self._open),
            "ended": list(self._ended),
            "logs_requests": self._logs_requests,
            "restart_rank": self._restart_rank,
            "fresh": self._fresh,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            opened = {str(id_): bool(first) for id_, first in snapshot["open"].items()}
            ended = {str(id_): None for id_ in snapshot["ended"]}
            rank = int(snapshot["restart_rank"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        self._open, self._ended, self._restart_rank = opened, ended, rank
        self._logs_requests = bool(snapshot.get("logs_requests"))
        self._fresh = bool(snapshot.get("fresh"))

    # One line, by its shape

    def _json(self, line: Line) -> Heard:
        text = line.text
        if '"message"' not in text:
            return _NOT_OURS
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            return _BAD_JSON
        message, logger, level = record.get("message"), record.get("name"), record.get("levelname")
        if not isinstance(message, str) or not isinstance(logger, str):
            return _NOT_OURS
        file = logger.rpartition(".")[2] + ".py"
        said = _Said(level if isinstance(level, str) else "", file, message, record.get("asctime"))
        return self._access(said, line) if logger == "uvicorn.access" else self._message(said, line)

    def _unstamped(self, head: str, line: Line) -> Heard:
        process = _PROCESS.match(head)
        rest = head[process.end() :] if process else head
        found = _UVICORN.match(rest)
        if found is None:
            return chatter.printed(rest)
        said = _Said(found[1], "", rest[found.end() :], None)
        return self._access(said, line) if ' - "' in said.message else self._other(said, line)

    def _message(self, said: _Said, line: Line) -> Heard:
        file, message = said.file, said.message
        if file.endswith("logger.py"):
            if message.startswith("Generated response "):
                return self._generated(said, line)
            if message.startswith("Received request "):
                return self._received(said, line)
            return _DETAIL if message.startswith("Request ") else self._other(said, line)
        if "equest" in message and ("llm" in file or "engine" in file or "client" in file):
            return self._engine_line(said, line)
        return self._other(said, line)

    def _engine_line(self, said: _Said, line: Line) -> Heard:
        message, stamp = said.message, said.stamp
        if found := _ADDED.match(message):
            return self._added(found[1], stamp, line)
        if found := _FINISHED.match(message):
            return self._end([found[1]], stamp, line, "ok", "finish")
        if found := _ABORTED.match(message):
            return self._end(found[1].split(","), stamp, line, "aborted", "abort")
        if found := _CLOSED.match(message):
            left = found[2] == "aborted."
            return self._end([found[1]], stamp, line, *(("aborted", "abort") if left else ("error", "finish")))
        return self._other(said, line)

    def _other(self, said: _Said, line: Line) -> Heard:
        message = said.message
        if message.startswith("Engine ") or "throughput: " in message:
            return _STATS
        for rank, pattern in _RESTARTS:
            if pattern.match(message):
                return self._restarted(rank, self._moment(said.stamp, line))
        return chatter.logged(said.level, message, starting=self._fresh)

    # One message, by what it says

    def _received(self, said: _Said, line: Line) -> Heard:
        found, when = _RECEIVED.match(said.message), self._moment(said.stamp, line)
        if found is None or len(found[1]) > _LONGEST_ID:
            return _BAD_LINE
        return _NO_TIME if when is None else self._start(found[1], when)

    def _added(self, id_: str, stamp: object, line: Line) -> Heard:
        if self._names(id_) or self._just_ended(id_):
            return _NOTHING_NEW
        when = self._moment(stamp, line)
        return _NO_TIME if when is None else self._start(_plain(id_)[:_LONGEST_ID], when)

    def _generated(self, said: _Said, line: Line) -> Heard:
        stamp, found = said.stamp, _GENERATED.match(said.message)
        if found is None:
            return _DETAIL if " details: " in said.message[:_HEAD] else _BAD_LINE
        id_, how = found.groups()
        if how == " (streaming delta)":
            return self._first_token(id_, stamp, line)
        reason = line.text.rpartition(_FINISH_REASON)[2]
        return self._end([id_], stamp, line, _outcome(reason), "abort" if reason.startswith("abort") else "finish")

    def _access(self, said: _Said, line: Line) -> Heard:
        found = access(said.message)
        if found is None:
            return self._other(said, line)
        if not found.asks_inference:
            return _OTHER_ENDPOINT
        if self._logs_requests:
            return _ACCESS_LINE
        self._fresh = False
        when = self._moment(said.stamp, line)
        return Used((Counted(when.at if when else line.not_after, "ok" if found.status < 400 else "error"),))

    def _restarted(self, rank: int, when: Moment | None) -> Heard:
        if rank < self._restart_rank or self._fresh:
            return chatter.STARTUP
        self._restart_rank, self._fresh, self._logs_requests = rank, True, False
        self._open.clear()
        self._ended.clear()
        return Used((ServerRestarted(when.at),)) if when else chatter.STARTUP

    # The requests

    def _start(self, id_: str, when: Moment) -> Heard:
        self._logs_requests, self._fresh = True, False
        if id_ in self._open:
            return (
                _NOTHING_NEW  # a line that was shipped twice; two requests of one id vLLM itself could not tell apart
            )
        self._ended.pop(id_, None)
        self._open[id_] = False
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return Used((Started(id_, *when),))

    def _first_token(self, id_: str, stamp: object, line: Line) -> Heard:
        names = self._names(id_)
        if len(names) != 1 or self._open[names[0]]:
            return _DELTA
        when = self._moment(stamp, line)
        if when is None:
            return _NO_TIME
        self._open[names[0]] = True
        return Used((FirstToken(names[0], *when),))

    def _end(self, ids: Iterable[str], stamp: object, line: Line, outcome: Outcome, closing: Closing) -> Heard:
        self._logs_requests, self._fresh = True, False
        when = self._moment(stamp, line)
        if when is None:
            return _NO_TIME
        events: list[RequestEvent] = []
        for id_ in ids:
            events += [Ended(name, *when, outcome, closing) for name in self._close(id_.strip())]
        return Used(tuple(events)) if events else _NOTHING_NEW

    def _close(self, id_: str) -> list[str]:
        names = self._names(id_)
        if not names:
            # An end whose start was printed before we came is still an end.
            names = [] if not id_ or self._just_ended(id_) else [_plain(id_)[:_LONGEST_ID]]
        for name in names:
            self._open.pop(name, None)
            self._remember_end(name)
        if names:
            self._remember_end(_plain(id_)[:_LONGEST_ID])
        return names

    def _names(self, id_: str) -> list[str]:
        """The open requests that a line means by this id: itself, its stem, or its prompts."""
        if id_ in self._open:
            return [id_]
        plain = _plain(id_)
        if plain in self._open:
            return [plain]
        first = f"{id_}-0"
        if first not in self._open and f"{id_}-1" not in self._open:
            return []
        return [name for name in (f"{id_}-{i}" for i in range(_MOST_SIBLINGS)) if name in self._open]

    def _just_ended(self, id_: str) -> bool:
        return id_ in self._ended or _plain(id_) in self._ended

    def _remember_end(self, id_: str) -> None:
        self._ended[id_] = None
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _moment(self, stamp: object, line: Line) -> Moment | None:
        return moment(line, self._stamp(stamp, line))

    def _stamp(self, text: object, line: Line) -> Stamp | None:
        if not isinstance(text, str):
            return None
        stamps = self._json_stamps if len(text) > 14 else self._text_stamps  # "11-21 04:09:05" is 14 long
        return stamps.read(text, line.not_after)


def _plain(id_: str) -> str:
    return _ENGINE_SUFFIX.sub("", _SAMPLE_PREFIX.sub("", id_))


def _outcome(reason: str) -> Outcome:
    if reason.startswith("abort"):
        return "aborted"
    return "error" if reason.startswith("error") else "ok"
