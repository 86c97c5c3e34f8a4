"""LMDeploy's log (api_server): a line when a session's request starts, one when it ends, at --log-level INFO.

    2026-11-21 04:36:21,202 - lmdeploy - INFO - async_engine.py:731 - session=5, history_tokens=0, input_tokens=11, ...
    2026-11-21 04:36:22,871 - lmdeploy - INFO - async_engine.py:828 - session 5 finished, reason "stop",
                                                                      input_tokens 11, output_tokens 64     (one line)

A session's number is used again: by the next turn of a conversation, and from 1 by the next run of the server. A start
of one that is still open ends the request before it, whose end was not printed. LMDeploy does so where the client left
before any output; where it left later, an error line names the session.

At level REQUEST the lines of logger.py carry prompts. They have the same beginning as a start's line, so lines are
matched as a whole and never taken from logger.py; a prompt's own line ends are escaped there.
"""

import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import (
    Closing,
    Counted,
    Dropped,
    Ended,
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
from exporter.requests.parts.access import Access, access
from exporter.requests.parts.stamps import Moment, Stamp, iso_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "arrival, with --log-level INFO; queueing included",
    "first_token": "no",
    "end": "with --log-level INFO; of clients that left, where LMDeploy prints the error",
    "tokens": "prompt and output, with --log-level INFO; not what a cache held",
    "clock": "local time in milliseconds",
}
ADVICE = (
    "Run `lmdeploy serve api_server` with --log-level INFO: it then prints when a session's request starts and ends, "
    "with its tokens (level REQUEST prints prompts as well, which is never needed). Without it only access lines are "
    "left, which can be counted, never placed in time."
)

_MOST_OPEN = 65_536
_HEAD = 1_024

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d{1,9}) - lmdeploy - ([A-Z]{3,10}) - ([\w.]{1,80}):\d{1,6} - "
)
_START = re.compile(
    r"session=(\d{1,18}), (?:history_tokens=\d{1,12}, )?input_tokens=(\d{1,12}), max_new_tokens=(?:\d{1,12}|None), "
    r"(?:seq_start=\w{1,8}, seq_end=\w{1,8}, step=\d{1,12}, )?prep=\w{1,8}\s*\Z"
)
_END = re.compile(
    r'session (\d{1,18}) finished, (?:[\w.:<> ]{1,60}, )?reason "(\w{1,20})"'
    r"(?:, input_tokens (\d{1,12}), output_tokens (\d{1,12}))?\s*\Z"
)
_CUT = (
    re.compile(r"\[safe_run\] session (\d{1,18}) exception caught: (\w{0,40})"),
    re.compile(r"\[generate\] session (\d{1,18}) got (aborted)\b"),
    re.compile(r"run (out) of tokens\. session=(\d{1,18})\.\s*\Z"),
)
_LEFT = ("GeneratorExit", "CancelledError", "aborted")
_UVICORN = re.compile(r"([A-Z]+): +")
_STARTED_PROCESS = "Started server process ["

_DETAIL = Ignored("request_detail")
_REPEAT = Ignored("repeat")
_ACCESS_LINE = Ignored("access_line")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_NO_TIME = Dropped("no_time")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of LMDeploy's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source lmdeploy has no options")
    return LmdeployReader(time_zone(timezone))


class LmdeployReader:
    """Reads one LMDeploy server's log."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._stamps = iso_stamps(zone)
        self._open: dict[str, None] = {}
        self._logs_requests = False
        self._fresh = False

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        head = line.text[:_HEAD]
        if "\x1b" in head:
            head = _ANSI.sub("", head)
        found = _PREFIX.match(head)
        if found is None:
            return self._printed(head, line)
        stamp, level, file = found.groups()
        if level == "REQUEST" or file == "logger.py":
            return _DETAIL
        if len(line.text) > _HEAD:  # no line of ours is that long
            return chatter.logged(level, head[found.end() :], starting=self._fresh)
        return self._message(level, head[found.end() :], self._stamps.read(stamp, line.not_after), line)

    def snapshot(self) -> Mapping[str, Any]:
        """Open sessions, and what kind of log this is."""
        return {"open": list(self._open), "logs_requests": self._logs_requests, "fresh": self._fresh}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            self._open = {str(id_): None for id_ in snapshot["open"]}
        except (KeyError, TypeError):
            return
        self._logs_requests = bool(snapshot.get("logs_requests"))
        self._fresh = bool(snapshot.get("fresh"))

    # One line, by what it says

    def _message(self, level: str, message: str, stamp: Stamp | None, line: Line) -> Heard:
        if found := _START.match(message):
            return self._start(found[1], int(found[2]), moment(line, stamp))
        if found := _END.match(message):
            tokens = None if found[3] is None else (int(found[3]), int(found[4]))
            return self._end(found[1], found[2], tokens, moment(line, stamp))
        for pattern in _CUT:
            if found := pattern.match(message):
                id_, why = found.groups() if found[1].isdigit() else (found[2], found[1])
                return self._cut(id_, why, moment(line, stamp))
        return chatter.logged(level, message, starting=self._fresh)

    def _printed(self, head: str, line: Line) -> Heard:
        if found := access(head):
            return self._access(found, line)
        uvicorn = _UVICORN.match(head)
        if uvicorn is None:
            return chatter.printed(head)
        message = head[uvicorn.end() :]
        if message.startswith(_STARTED_PROCESS):
            return self._restarted(moment(line, None))
        return chatter.logged(uvicorn[1], message, starting=self._fresh)

    # The requests

    def _start(self, id_: str, prompt_tokens: int, when: Moment | None) -> Heard:
        self._logs_requests, self._fresh = True, False
        if when is None:
            return _NO_TIME
        events: list[RequestEvent] = []
        if id_ in self._open:
            events.append(Ended(id_, *when, "aborted", "reuse"))
        self._open[id_] = None
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return Used((*events, Started(id_, *when, prompt_tokens=prompt_tokens)))

    def _end(self, id_: str, reason: str, tokens: tuple[int, int] | None, when: Moment | None) -> Heard:
        self._logs_requests, self._fresh = True, False
        if when is None:
            return _NO_TIME
        self._open.pop(id_, None)
        outcome, closing = _how(reason)
        prompt, output = tokens or (None, None)
        return Used((Ended(id_, *when, outcome, closing, prompt_tokens=prompt, output_tokens=output),))

    def _cut(self, id_: str, why: str, when: Moment | None) -> Heard:
        if id_ not in self._open:
            return _REPEAT
        if when is None:
            return _NO_TIME
        del self._open[id_]
        return Used((Ended(id_, *when, *_how("abort" if why in _LEFT else "error")),))

    def _access(self, found: Access, line: Line) -> Heard:
        if not found.asks_inference:
            return _OTHER_ENDPOINT
        if self._logs_requests:
            return _ACCESS_LINE
        self._fresh = False
        when = moment(line, None)
        return Used((Counted(when.at if when else line.not_after, "ok" if found.status < 400 else "error"),))

    def _restarted(self, when: Moment | None) -> Heard:
        if self._fresh:
            return chatter.STARTUP
        self._fresh, self._logs_requests = True, False
        self._open.clear()
        return Used((ServerRestarted(when.at),)) if when else chatter.STARTUP


def _how(reason: str) -> tuple[Outcome, Closing]:
    if reason == "abort":
        return "aborted", "abort"
    return ("error" if reason == "error" else "ok"), "finish"
