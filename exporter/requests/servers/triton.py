"""NVIDIA Triton: its traces, which place requests, and the verbose log, which only counts them.

A trace file (`--trace-config triton,file=F`) is one JSON array without line ends, of pieces joined by their id:

    [{"id":1,"model_name":"m","model_version":1,"request_id":"r"},
     {"id":1,"timestamps":[{"name":"REQUEST_START","ns":2356425054785863}]}, ...]

Each `log-frequency` requests, Triton writes such a file whole: F.0, F.1, ... The nanoseconds are of a clock that began
when the machine did; when the file was seen to appear tells where that lies. Read back later nothing tells, and the
requests are only counted. Failures are not told apart.

With `--log-verbose=1` the server says that a request came in over HTTP, and nothing of its end:

    I0819 17:23:47.194021 1 http_server.cc:4857] "HTTP request: 2 /v2/models/m/infer"        2: POST. UTC, always

Those lines count while no trace has been read.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Counted, Dropped, Heard, Ignored, RequestEvent, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.access import is_inference
from exporter.requests.parts.chatter import logged, printed
from exporter.requests.parts.stamps import Stamp, iso_stamps, moment, month_day_stamps, time_zone
from exporter.requests.parts.uptime import Uptime
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "execution, with traces whose files are read as they appear; the verbose log's cannot be used",
    "first_token": "no",
    "end": "with such traces; whether the request failed, no",
    "tokens": "no",
    "clock": "nanoseconds of the machine's uptime, anchored by when files appear",
}
ADVICE = (
    "Best: --trace-config mode=opentelemetry --trace-config level=TIMESTAMPS --trace-config rate=1 with "
    "opentelemetry,url= leading to a server of source otlp. Else --trace-config triton,file=/logs/trace.json "
    "--trace-config triton,log-frequency=10 --trace-config level=TIMESTAMPS --trace-config rate=1, and read "
    "/logs/trace.json.*: a lower frequency shows requests sooner, and above 1000 a file is too long a line to be read. "
    "Never level=TENSORS, which writes prompts."
)

_MOST_OPEN = 4_096
_HEAD = 512
_ORDER_SECONDS = 60.0  # files that appeared together may be read in any order
_LONGEST_TEXT = 256
_MOST_NANOSECONDS = 1 << 62

_VERBOSE = re.compile(
    r"(?:[IVWE](\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d{6})|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) [IVWE]) +\d+ "
    r'http_server\.cc:\d+\] "?HTTP request: (\d) ([^\s"]+)"?\s*$'
)
_POST = "2"
_LOGGED = re.compile(
    r"(?:([IVWE])\d{4} \d\d:\d\d:\d\d\.\d{6}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ([IVWE])) +\d+ \S{1,128}\] \"?(.*)",
    re.DOTALL,
)
_LEVELS = {"I": "INFO", "V": "DEBUG", "W": "WARNING", "E": "ERROR"}
_BETWEEN = re.compile(r"[\s,\[\]]*")

_ACCESS_LINE = Ignored("access_line")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_DETAIL = Ignored("request_detail")
_BAD_JSON = Dropped("bad_json")

_decode = json.JSONDecoder().raw_decode


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of Triton's trace files and verbose log. It has no options, and no use for a time zone.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source triton has no options")
    time_zone(timezone)
    return TritonReader()


@dataclass(slots=True)
class _Trace:
    """What is known of one request: its model, whether an ensemble made it, and nanoseconds by name."""

    model: str | None = None
    child: bool = False
    times: dict[str, int] = field(default_factory=dict)


_EDGES = ("REQUEST_START", "QUEUE_START", "COMPUTE_START", "REQUEST_END")


class TritonReader:
    """Reads trace files, the verbose log, or both."""

    def __init__(self) -> None:
        self._month_day, self._iso = month_day_stamps(UTC), iso_stamps(UTC)
        self._uptime = Uptime()
        self._open: dict[int, _Trace] = {}
        self._traces = False

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        if line.text.lstrip()[:1] in ("[", "{", ","):
            return self._array(line)
        found = _VERBOSE.match(line.text)
        if found is None:
            return _chatter(line.text[:_HEAD])
        month, day, time, iso, method, path = found.groups()
        if method != _POST or not is_inference(path):
            return _OTHER_ENDPOINT
        if self._traces:
            return _ACCESS_LINE
        stamp = self._iso.read(iso, line.not_after) if iso else self._month_day_stamp(f"{month}-{day} {time}", line)
        when = moment(line, stamp)
        return Used((Counted(when.at if when else line.not_after),))

    def snapshot(self) -> Mapping[str, Any]:
        """Where the clock lies, and the traces that are not complete."""
        open_ = {str(id_): [one.model, one.child, one.times] for id_, one in self._open.items()}
        return {"uptime": self._uptime.snapshot(), "open": open_, "traces": self._traces}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        uptime = Uptime()
        try:
            uptime.restore(snapshot["uptime"])
            open_ = {
                int(id_): _Trace(model, bool(child), {str(name): int(ns) for name, ns in times.items()})
                for id_, (model, child, times) in snapshot["open"].items()
            }
            self._traces = bool(snapshot["traces"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        self._uptime, self._open = uptime, open_

    def _month_day_stamp(self, text: str, line: Line) -> Stamp | None:
        return self._month_day.read(text, line.not_after)

    # An array of pieces, or a part of one

    def _array(self, line: Line) -> Heard:
        if '"timestamps"' not in line.text and '"model_name"' not in line.text:
            return printed(line.text)
        latest, broken = 0, False
        try:
            for piece in _pieces(line.text):
                latest = max(latest, self._take(piece))
        except (ValueError, RecursionError):
            broken = True
        if latest:
            self._traces = True
            self._uptime.hear(latest / 1e9, line, starting=False)
        told = tuple(self._tell(line, placed=self._plausible(latest / 1e9, line)))
        if told:
            return Used(told)
        return _BAD_JSON if broken else _DETAIL

    def _take(self, piece: Any) -> int:
        """Put a piece to its trace; returns the latest of its nanoseconds, 0 where it has none."""
        if not isinstance(piece, dict) or type(id_ := piece.get("id")) is not int or abs(id_) >= _MOST_NANOSECONDS:
            return 0
        if "model_name" in piece:  # the first piece: an id that is used again is another request
            model = piece["model_name"]
            self._open.pop(id_, None)
            child = piece.get("parent_id") is not None
            self._open[id_] = _Trace(model[:_LONGEST_TEXT] if isinstance(model, str) else None, child)
        trace, stamps = self._open.setdefault(id_, _Trace()), piece.get("timestamps")
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        times = dict(_times(stamps)) if isinstance(stamps, list) else {}
        trace.times.update((name, ns) for name, ns in times.items() if name in _EDGES)
        return max(times.values(), default=0)

    def _plausible(self, latest: float, line: Line) -> bool:
        """Whether the clock puts what was last in the file near its reading: after a reboot, it does not at first."""
        when = self._uptime.at(latest)
        return when is not None and line.not_before - _ORDER_SECONDS <= when.at <= line.not_after + _ORDER_SECONDS

    def _tell(self, line: Line, *, placed: bool) -> Iterator[RequestEvent]:
        for id_ in [id_ for id_, trace in self._open.items() if "REQUEST_END" in trace.times]:
            trace = self._open.pop(id_)
            if not trace.child:  # what an ensemble's parts did is within its own time
                yield (self._completed(id_, trace) if placed else None) or Counted(line.not_after)

    def _completed(self, id_: int, trace: _Trace) -> RequestEvent | None:
        times = trace.times
        arrived = times.get("QUEUE_START", times.get("REQUEST_START"))
        started = times.get("COMPUTE_START", arrived)
        end = self._uptime.at(times["REQUEST_END"] / 1e9)
        if end is None or started is None or started > times["REQUEST_END"]:
            return None
        seconds = (times["REQUEST_END"] - started) / 1e9
        queued = max(0.0, (started - arrived) / 1e9) if arrived is not None else 0.0
        return Completed(
            # Ids begin anew with each start of the server; the machine's clock does not.
            f"{id_}@{times['REQUEST_END']}",
            Instant(end.at - seconds),
            end.at,
            end.uncertainty,
            end.uncertainty,
            queued_seconds=queued,
            model=trace.model,
        )


def _chatter(text: str) -> Ignored:
    found = _LOGGED.match(text)
    if found is None:
        return printed(text)
    level, iso_level, message = found.groups()
    if message.startswith("[request id:"):
        return _DETAIL
    return logged(_LEVELS[level or iso_level], message, starting=False)


def _pieces(text: str) -> Iterator[Any]:
    at = _BETWEEN.match(text).end()  # type: ignore[union-attr] # it matches nothing as well
    while at < len(text):
        piece, at = _decode(text, at)
        yield piece
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]


def _times(stamps: list[Any]) -> Iterator[tuple[str, int]]:
    for stamp in stamps:
        if isinstance(stamp, dict):
            name, ns = stamp.get("name"), stamp.get("ns")
            if isinstance(name, str) and type(ns) is int and 0 < ns < _MOST_NANOSECONDS:
                yield name, ns
