r"""What transformers serve, LiteLLM's proxy and trtllm-serve have in common: nothing but uvicorn's access lines.

Such a line says neither when a request began nor how long it took (see access), so their requests are counted and no
more. LiteLLM with `json_logs` writes the same line in an object with a time, which places the count:

    {"message": "127.0.0.1:51080 - \"POST ... HTTP/1.1\" 200", "timestamp": "...", "component": "uvicorn.access"}
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Counted, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.requests.parts.access import access
from exporter.requests.parts.chatter import logged, printed
from exporter.requests.parts.stamps import iso_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "no: requests are counted only, and get no energy of their own",
    "first_token": "no",
    "end": "no: uvicorn's line comes at the end of an answer in one piece, but at the start of a stream",
    "tokens": "no",
    "clock": "none, but for LiteLLM's json_logs: local time in microseconds",
}
ADVICE = "Put something in front that knows when requests run: source proxy, or a front's log (nginx, haproxy, envoy)"

_HEAD = 512
_ACCESS_LOG = "uvicorn.access"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LOGGED = re.compile(
    r"(?:\d\d:\d\d:\d\d - [^:]{1,64}:|\[[\d/:-]{19}\] \[TRT-LLM\] )?"  # LiteLLM's own logger, TensorRT-LLM's
    r"\[?(TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL|[VDIWEF])(?:: *|\] )(.*)",
    re.DOTALL,
)
_LEVELS = {"V": "DEBUG", "D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "FATAL"}

_REQUEST_DETAIL = Ignored("request_detail")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_BAD_JSON = Dropped("bad_json")


def build_for(source: str) -> Callable[[Mapping[str, Any], str | None], RequestReader]:
    """What builds the reader of this source, which has no options.

    Raises (what is returned does):
        ConfigError: an option was given, or the time zone is unknown.
    """

    def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
        for key in options:
            raise ConfigError(f"options.{key}", f"the source {source} has no options")
        return UvicornReader(time_zone(timezone))

    return build


class UvicornReader:
    """Counts the requests of a server that writes uvicorn's access lines."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._stamps = iso_stamps(zone)
        self._starting = False

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        text = line.text
        if text.startswith("{"):
            return self._json(line)
        if text.startswith("[transformers] [Request received]"):
            return _REQUEST_DETAIL  # without id or time
        return self._access(text, None, line) or self._chatter(text[:_HEAD])

    def snapshot(self) -> Mapping[str, Any]:
        """Whether the server has announced itself and served nothing yet."""
        return {"starting": self._starting}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        self._starting = snapshot.get("starting") is True

    def _json(self, line: Line) -> Heard:
        if '"message"' not in line.text:
            return printed(line.text)
        try:
            record = json.loads(line.text)
        except (ValueError, RecursionError):
            return _BAD_JSON
        message, level = record.get("message"), record.get("level")
        if not isinstance(message, str) or not isinstance(level, str):
            return printed("")
        heard = self._access(message, record.get("timestamp"), line) if record.get("component") == _ACCESS_LOG else None
        return heard or self._logged(level, message)

    def _chatter(self, text: str) -> Ignored:
        found = _LOGGED.match(_ANSI.sub("", text) if "\x1b" in text else text)
        return self._logged(_LEVELS.get(found[1], found[1]), found[2]) if found else printed(_ANSI.sub("", text))

    def _logged(self, level: str, message: str) -> Ignored:
        self._starting = self._starting or message.startswith("Started server process")
        return logged(level, message, starting=self._starting)

    def _access(self, text: str, stamp: Any, line: Line) -> Heard | None:
        found = access(text)
        if found is None:
            return None
        if not found.asks_inference:
            return _OTHER_ENDPOINT
        self._starting = False
        when = moment(line, self._stamps.read(stamp, line.not_after) if isinstance(stamp, str) else None)
        return Used((Counted(when.at if when else line.not_after, "ok" if found.status < 400 else "error"),))
