"""What the readers of HTTP fronts' access logs are made of: which lines count, when a request was, who told it before.

A front speaks once, when a request has ended, and says how long it took. Some stamp the line with the request's start
(HAProxy, Envoy, Traefik, Apache), some with its end (nginx); `Span` is the same for both.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from exporter.domain.errors import ConfigError
from exporter.domain.events import Outcome
from exporter.requests.parts.access import is_inference
from exporter.requests.parts.stamps import Stamp

LONGEST_SPAN_SECONDS = 1e8
LONGEST_NAME = 256
CLIENT_LEFT = 499

_REQUEST = re.compile(r"([A-Z]{1,32}) (\S+)(?: HTTP/\d(?:\.\d)?)?")
_TRACEPARENT = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")
_MOST_TOLD = 4_096
_SAME_SECONDS = 0.25


class Span(NamedTuple):
    """A request's place in time: when it ended by the wall clock, how long it took, how sure that length is."""

    end: Stamp
    seconds: float
    precision: float


def span_from_start(start: Stamp | None, seconds: float | None, precision: float) -> Span | None:
    """The span of a request by its start's stamp; None where something is missing or absurd."""
    if start is None or seconds is None or not 0.0 <= seconds < LONGEST_SPAN_SECONDS:
        return None
    return Span(Stamp(start.seconds + seconds, start.precision + precision), seconds, precision)


def span_from_end(end: Stamp | None, seconds: float | None, precision: float) -> Span | None:
    """The span of a request by its end's stamp; None where something is missing or absurd."""
    if end is None or seconds is None or not 0.0 <= seconds < LONGEST_SPAN_SECONDS:
        return None
    return Span(end, seconds, precision)


def status_outcome(status: float) -> Outcome:
    """What an HTTP status says; 499 is nginx's and others' word for a client that left."""
    if status < 400:
        return "ok"
    return "aborted" if status == CLIENT_LEFT else "error"


def name_or_none(text: str | None) -> str | None:
    """A text as an id or a label, shortened; None where the front wrote that there is none."""
    return text[:LONGEST_NAME] if text and text != "-" else None


def trace_id_of(text: str | None) -> str | None:
    """The W3C trace id in a bare id or a `traceparent`, 32 hex digits; None where it is none."""
    found = _TRACEPARENT.fullmatch(text.lower()) if text and len(text) <= LONGEST_NAME else None
    return found[1] if found and found[1].strip("0") else None


# Which requests count

Wanted = Callable[[str], bool]


def compile_wanted(options: Mapping[str, Any]) -> Wanted:
    """Which request lines (`POST /v1/completions HTTP/1.1`) ask for inference: POST, and `paths` or the usual ones.

    Raises:
        ConfigError: `options.paths` is not a list of texts.
    """
    paths = options.get("paths")
    if paths is None:
        return lambda request: _asks(request, is_inference)
    if not isinstance(paths, list) or not paths or not all(isinstance(one, str) and one for one in paths):
        raise ConfigError("options.paths", f"must be a list of how paths end, such as [/v1/completions]; got {paths!r}")
    endings = tuple(paths)
    return lambda request: _asks(request, lambda path: path.partition("?")[0].endswith(endings))


def _asks(request: str, wanted: Wanted) -> bool:
    found = _REQUEST.fullmatch(request)
    return found is not None and found[1] == "POST" and wanted(found[2])


def check_options(options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Refuse options that are not allowed.

    Raises:
        ConfigError: names the first one.
    """
    for key in options:
        if key not in allowed:
            raise ConfigError(f"options.{key}", f"unknown; allowed are {', '.join(allowed)}")


# Names


class Numbers:
    """Names for requests whose line has no id."""

    def __init__(self) -> None:
        self.given = 0

    def next(self) -> str:
        """A name that no request had yet."""
        self.given += 1
        return f"#{self.given}"

    def restore(self, given: object) -> None:
        """Go on from a snapshot's number; anything else is as good as none."""
        if type(given) is int and given >= 0:
            self.given = given


class ToldOnce:
    """Knows which requests were told, for fronts in a row that log the same request: a mesh's two sidecars.

    Two lines are one request if they have the same id and one's time lies within the other's, give or take what hops
    and clocks cost. An id that a client uses again, even at once, is another request. The last 4096 are remembered.
    """

    def __init__(self) -> None:
        self._told: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def is_new(self, name: str, start: float, end: float) -> bool:
        """Whether this request was not told yet; it is from now on."""
        known = self._told.pop(name, None)
        self._told[name] = (start, end)
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        return known is None or not _are_one(known, (start, end))

    def snapshot(self) -> list[list[Any]]:
        """What to go on from, as JSON values: ids with their starts and ends."""
        return [[name, *times] for name, times in self._told.items()]

    def restore(self, told: object) -> None:
        """Go on from a snapshot. An unusable one is as good as none."""
        try:
            known = OrderedDict((str(name), (float(start), float(end))) for name, start, end in told)  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            return
        self._told = known


def _are_one(one: tuple[float, float], other: tuple[float, float]) -> bool:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    shorter = min(one[1] - one[0], other[1] - other[0])
    return shared >= shorter / 2 and (_lies_in(one, other) or _lies_in(other, one))


def _lies_in(inner: tuple[float, float], outer: tuple[float, float]) -> bool:
    return outer[0] - _SAME_SECONDS <= inner[0] and inner[1] <= outer[1] + _SAME_SECONDS
