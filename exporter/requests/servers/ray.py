"""Ray Serve's request lines, which its proxy and its replicas each write when a request ended. Text or JSON.

    INFO 2026-11-21 04:20:10,548 proxy 192.0.2.2 ID -- POST /v1/chat/completions 200 208.6ms
    INFO 2026-11-21 04:20:10,546 app_Deployment replica ID -- POST /v1/chat/completions 200 203.3ms
    INFO 2026-11-21 04:20:11,666 proxy 192.0.2.2 ID -- Client for request ID disconnected, cancelling request.

A driver's standard output puts `(ServeReplica:app:Deployment pid=1)` before them; older releases name the file, or put
the route before the dashes.

A request is told once. Its replica's line is the better one: without the proxy's own queue, and of the node that did
the work. But nothing says whether that line will be read as well, and waiting for it could take for ever; so proxies'
lines count until the first line of a replica was read, and from then on they are passed over. A client that left is
known from the proxy alone, and only if its line was read before the request's own.

Calls from one deployment to another (`CALL`) are parts of a request whose POST is told already.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import Any, NamedTuple

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Outcome, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.chatter import logged, printed
from exporter.requests.parts.stamps import Stamp, iso_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "execution, from the end and the duration, where the replicas' logs are read; else arrival at the proxy",
    "first_token": "no",
    "end": "yes; of aborted requests too, where the proxy's log is read with the replicas'",
    "tokens": "no",
    "clock": "local time in milliseconds; nanoseconds with JSON logging",
}
ADVICE = (
    "Read the replicas' files and the proxy's of this node together (/tmp/ray/session_latest/logs/serve/*.log); "
    'logging_config={"encoding": "JSON"} makes the stamps finer; keep enable_access_log on. Set options.routes where '
    "an application has other POST routes than inference."
)

_MOST_REMEMBERED = 4_096
_HEAD = 4_096
_LONGEST_ID = 256
_DURATION_PRECISION = 1e-4

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PROCESS = re.compile(r"\([^()]{1,256}\) ")
_CORE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\s([A-Z]{1,8}) \S{1,256} -- (.*)", re.DOTALL)
_TEXT = re.compile(
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (\S{1,256}) \S{1,256}"
    r"((?: \S{1,256}){0,4}?) --? (.*)",
    re.DOTALL,
)
_REQUEST = re.compile(r"([A-Z]+) (?:(\S+) )?(\d{3}|[A-Z_]+) (\d{1,12}(?:\.\d+)?)ms(?:\s|$)")
_LEFT = re.compile(r"Client for request (\S+) disconnected")
_CLIENT_LEFT = ("499", "CANCELLED")

_PROXY_LINE = Ignored("proxy_line")
_REPEAT = Ignored("repeat")
_DISCONNECT = Ignored("disconnect")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_BAD_LINE = Dropped("bad_request_line")
_BAD_JSON = Dropped("bad_json")
_NO_TIME = Dropped("no_time")


class _Message(NamedTuple):
    """What a line says before it is known to be a request's."""

    text: str
    level: str
    proxy: bool
    id: str | None
    route: str | None
    stamp: Stamp | None


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of Ray Serve's logs.

    Args:
        options: `routes`, the paths that are inference, with all below them; every POST where it is not given.
        timezone: of the stamps in text logs.

    Raises:
        ConfigError: an option is unknown or wrong, or the time zone is unknown.
    """
    for key in options:
        if key != "routes":
            raise ConfigError(f"options.{key}", "unknown; allowed is routes")
    routes = options.get("routes", ["/"])
    if not isinstance(routes, list) or not routes or not all(isinstance(one, str) and one[:1] == "/" for one in routes):
        raise ConfigError("options.routes", f"must be a list of paths such as /v1/chat/completions; got {routes!r}")
    return RayReader(tuple(routes), time_zone(timezone))


def survey(lines: Iterable[Line]) -> Mapping[str, Any]:
    """Whether any replica's line comes, and whose clients left: then the order of the files does not matter."""
    reader = RayReader(("/",), None)
    for line in lines:
        reader.feed(line)
    return {**reader.snapshot(), "told": []}


class RayReader:
    """Reads the logs of Ray Serve's proxies and replicas, together or alone."""

    def __init__(self, routes: tuple[str, ...], zone: tzinfo | None) -> None:
        self._routes = tuple(route.rstrip("/") for route in routes)
        self._stamps = iso_stamps(zone)
        self._replicas = False
        self._told: dict[str, None] = {}
        self._left: dict[str, None] = {}
        self._nameless = 0

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        message = self._json(line) if line.text.startswith("{") else self._text(line)
        if not isinstance(message, _Message):
            return message
        if left := _LEFT.match(message.text):
            _remember(self._left, left[1][:_LONGEST_ID])
            return _DISCONNECT
        found = _REQUEST.match(message.text)
        if found is None:
            return (
                _BAD_LINE if message.text.startswith("POST ") else logged(message.level, message.text, starting=False)
            )
        method, route, status, milliseconds = found.groups()
        if method != "POST" or not self._serves(route or message.route or "/"):
            return _OTHER_ENDPOINT
        return self._request(message, status, float(milliseconds) / 1e3, line)

    def snapshot(self) -> Mapping[str, Any]:
        """Whether replicas were read, which requests were told, and whose clients left."""
        return {
            "replicas": self._replicas,
            "told": list(self._told),
            "left": list(self._left),
            "nameless": self._nameless,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            told, left = ({str(id_): None for id_ in snapshot[key]} for key in ("told", "left"))
            replicas, nameless = bool(snapshot["replicas"]), int(snapshot["nameless"])
        except (KeyError, TypeError, ValueError):
            return
        self._told, self._left, self._replicas, self._nameless = told, left, replicas, nameless

    # One line, by its encoding

    def _text(self, line: Line) -> _Message | Heard:
        head = line.text[:_HEAD]
        if "\x1b" in head:
            head = _ANSI.sub("", head)
        process = _PROCESS.match(head)
        head = head[process.end() :] if process else head
        found = _TEXT.match(head)
        if found is None:
            core = _CORE.match(head)
            return logged(core[1], core[2], starting=False) if core else printed(head)
        level, stamp, component, rest, text = found.groups()
        words = rest.split()
        route = next((word for word in words if word.startswith("/")), None)
        id_ = words[0] if words and words[0] != route and ".py:" not in words[0] else None
        return _Message(text, level, "proxy" in component, id_, route, self._stamps.read(stamp, line.not_after))

    def _json(self, line: Line) -> _Message | Heard:
        if '"message"' not in line.text:
            return printed(line.text)
        try:
            record = json.loads(line.text)
        except (ValueError, RecursionError):
            return _BAD_JSON
        text, component, id_ = record.get("message"), record.get("component_name"), record.get("request_id")
        if not isinstance(text, str) or not isinstance(component, str):
            return printed("")
        level, route = record.get("levelname"), record.get("route")
        return _Message(
            text[:_HEAD],
            level if isinstance(level, str) else "",
            "proxy" in component,
            id_[:_LONGEST_ID] if isinstance(id_, str) else None,
            route if isinstance(route, str) else None,
            self._json_stamp(record, line),
        )

    def _json_stamp(self, record: Mapping[str, Any], line: Line) -> Stamp | None:
        nanoseconds, text = record.get("timestamp_ns"), record.get("asctime")
        if type(nanoseconds) is int and 0 < nanoseconds < 1 << 63:
            return Stamp(nanoseconds / 1e9, 1e-6)  # a float of this size is no finer
        return self._stamps.read(text, line.not_after) if isinstance(text, str) else None

    # One request

    def _serves(self, path: str) -> bool:
        plain = path.partition("?")[0]
        return any(plain == route or plain.startswith(f"{route}/") for route in self._routes)

    def _request(self, message: _Message, status: str, seconds: float, line: Line) -> Heard:
        self._replicas = self._replicas or not message.proxy
        if message.id is not None and message.id in self._told:
            return _REPEAT
        if message.proxy and self._replicas:
            return _PROXY_LINE
        end = moment(line, message.stamp)
        if end is None:
            return _NO_TIME
        id_ = message.id or self._name()
        _remember(self._told, id_)
        outcome = "aborted" if self._left.pop(id_, self) is None else _outcome(status)
        start_uncertainty = end.uncertainty + _DURATION_PRECISION / 2
        return Used(
            (Completed(id_, Instant(end.at - seconds), end.at, start_uncertainty, end.uncertainty, outcome=outcome),)
        )

    def _name(self) -> str:
        self._nameless += 1
        return f"#{self._nameless}"


def _remember(ids: dict[str, None], id_: str) -> None:
    ids[id_] = None
    if len(ids) > _MOST_REMEMBERED:
        del ids[next(iter(ids))]


def _outcome(status: str) -> Outcome:
    if status in _CLIENT_LEFT:
        return "aborted"
    return "ok" if status < "400" or status == "OK" else "error"
