"""LocalAI's log: a line when a request has been answered, without how long it took.

    Mar 31 10:11:12 INFO  HTTP request method="POST" path="/v1/chat/completions" status=200

So its requests are counted and no more. Lines are read from the words `HTTP request` on, behind a level and what its
logger puts before it (that part was never seen for real). With debug logging, prompts are printed as they are and
could imitate such a line: it would be counted, and nothing else.
"""

import re
from collections.abc import Mapping
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Counted, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.requests.parts.access import is_inference
from exporter.requests.parts.chatter import logged, printed
from exporter.requests.parts.stamps import moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "no: requests are counted only, and get no energy of their own",
    "first_token": "no",
    "end": "no: a line comes at the end, but nothing says since when the request ran",
    "tokens": "no",
    "clock": "none that is used: when a line is read",
}
ADVICE = (
    "LocalAI logs no durations and has no flag for them. Put something in front that knows when requests run: source "
    "proxy, or a front's log (nginx, haproxy, envoy)."
)

_HEAD = 512
_ENDPOINTS = ("/edits", "/images/generations", "/audio/speech", "/tts", "/sound-generation", "/video")

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LINE = re.compile(r'[^"=]{0,64}?\b(DEBUG|INFO|WARN|WARNING|ERROR|FATAL)\b\s+(\S[^\n]*)')
_REQUEST = re.compile(r'HTTP request method="?([A-Z]{3,8})"? path="?([^"\s]{1,256})"? status=(\d{3})\b')
_OTHER_ENDPOINT = Ignored("other_endpoint")
_BAD_LINE = Dropped("bad_request_line")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of LocalAI's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source localai has no options")
    time_zone(timezone)
    return LocalAiReader()


class LocalAiReader:
    """Counts LocalAI's requests; every line says all by itself."""

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        head = _ANSI.sub("", line.text[:_HEAD])
        found = _LINE.match(head)
        if found is None:
            return printed(head)
        level, message = found.groups()
        if not message.startswith("HTTP request "):
            return logged(level, message, starting=False)
        request = _REQUEST.match(message)
        if request is None:
            return _BAD_LINE
        method, path, status = request.groups()
        if method != "POST" or not (is_inference(path) or path.partition("?")[0].endswith(_ENDPOINTS)):
            return _OTHER_ENDPOINT
        when = moment(line, None)
        return Used((Counted(when.at if when else line.not_after, "ok" if status < "400" else "error"),))

    def snapshot(self) -> Mapping[str, Any]:
        """Nothing: it remembers nothing."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Nothing needs restoring."""
