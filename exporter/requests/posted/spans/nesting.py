"""Which of several spans of one request counts.

A request is often told more than once: by whoever asked (a client's span), by gateways between, by the engine. The
innermost counts, because it saw the model's work and not the way there. Of two requests' spans of one trace the one
wraps the other if it is its parent, or if it was seen farther from the model (client, then internal, then server,
then engine) and the other's time lies within its own, give or take what two machines' clocks differ.

Spans come when they end, so an inner one mostly comes first, and its wrapper is then ignored. Sometimes a client's
exporter is the faster one: its span has been counted already, so the inner one is ignored, this once. From then on
every span made at that place (the same service asking the same model there) is taken for a wrapper.

A span that comes again, as exporters retry, is known by its id. What is remembered is bounded; the oldest traces go.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from exporter.domain.events import Ignored
from exporter.requests.posted.spans.meaning import SpanRequest
from exporter.requests.posted.spans.span import Span

_CLOCKS_SECONDS = 1.0
_MOST_SPANS = 32_768
_MOST_OF_ONE_TRACE = 256
_MOST_CALLERS = 1024
_MOST_SAVED = 2048

DUPLICATE = Ignored("duplicate")
WRAPPER = Ignored("wrapper")
COUNTED_BY_WRAPPER = Ignored("counted_by_wrapper")


class _Known(NamedTuple):
    """A request's span that came before. `counts`: whether it was the one that counted."""

    span_id: str
    parent_id: str
    rank: int
    start: float
    end: float
    counts: bool
    caller: tuple[str, ...]


class Nesting:
    """Remembers requests' spans, and says of the next one why it does not count."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, dict[str, _Known]] = OrderedDict()
        self._number = 0
        self._wrapping: dict[tuple[str, ...], None] = {}

    def judge(self, span: Span, request: SpanRequest) -> Ignored | None:
        """Why this request does not count, or None: it does. Tell inner spans before those around them."""
        trace = self._traces.get(span.trace_id, {})
        if span.span_id in trace:
            return DUPLICATE
        start = request.event.start - request.event.queued_seconds
        new = _Known(
            span.span_id, span.parent_id, request.rank, start, request.event.end, counts=True, caller=request.caller
        )
        verdict = self._verdict(new, trace.values())
        self._remember(span.trace_id, new._replace(counts=verdict is None))
        return verdict

    def _verdict(self, new: _Known, others: Iterable[_Known]) -> Ignored | None:
        for other in others:
            if _wraps(new, other):
                return WRAPPER
            if other.counts and _wraps(other, new):
                if len(self._wrapping) < _MOST_CALLERS:
                    self._wrapping[other.caller] = None
                return COUNTED_BY_WRAPPER
        return WRAPPER if new.caller in self._wrapping else None

    def _remember(self, trace_id: str, new: _Known) -> None:
        trace = self._traces.setdefault(trace_id, {})
        self._traces.move_to_end(trace_id)
        trace[new.span_id] = new
        self._number += 1
        if len(trace) > _MOST_OF_ONE_TRACE:
            del trace[next(iter(trace))]
            self._number -= 1
        while self._number > _MOST_SPANS:
            self._number -= len(self._traces.popitem(last=False)[1])

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values: the latest spans, and who was seen to wrap."""
        known = [[trace_id, *one] for trace_id, trace in self._traces.items() for one in trace.values()]
        return {"spans": known[-_MOST_SAVED:], "wrapping": [list(one) for one in self._wrapping]}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable one is as good as none."""
        restored = Nesting()
        try:
            for trace_id, span_id, parent_id, rank, start, end, counts, caller in snapshot["spans"][:_MOST_SAVED]:
                known = _Known(span_id, parent_id, int(rank), float(start), float(end), bool(counts), tuple(caller))
                restored._remember(str(trace_id), known)
            restored._wrapping.update({tuple(one): None for one in snapshot["wrapping"][:_MOST_CALLERS]})
        except (KeyError, TypeError, ValueError):
            return
        self._traces, self._number, self._wrapping = restored._traces, restored._number, restored._wrapping


def _wraps(outer: _Known, inner: _Known) -> bool:
    if inner.parent_id == outer.span_id:
        return True
    within = outer.start - _CLOCKS_SECONDS <= inner.start and inner.end <= outer.end + _CLOCKS_SECONDS
    return inner.rank > outer.rank and within
