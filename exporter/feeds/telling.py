"""What one source tells of one request, by what names others may know it, and what several tellings say together."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from exporter.domain.events import Completed, Ended, Started, together
from exporter.domain.units import Instant
from exporter.feeds.feed import Told
from exporter.recording.values import from_json, to_json

NAMED_SLACK_SECONDS = 30.0
"""Requests of one name that are farther apart than this are two: ids are used again."""
_UNNAMED_SLACK_SECONDS = 0.3
"""How much later than execution a front may see the end, and the other way round, beyond what stamps are unsure of."""
_UNEQUAL_SECONDS = 0.5
"""Tellings of unequal token counts or outcomes belong together as little as ends that are so far apart."""
_QUEUED = 0.02
"""Starts say little: a front sees arrival, and a request may have queued for seconds."""
_CERTAIN_SECONDS = 1e-3

_PREFIX = re.compile(r"^(?:chatcmpl|cmpl|resp|msg)[-_]")
_PROMPT_NUMBER = re.compile(r"-\d{1,4}$")
_LOCAL = re.compile(r"^[#\d:.|_-]{0,15}$")


def names_of(id_: str, aliases: Iterable[str] = ()) -> frozenset[str]:
    """All names by which another source may know this request; none for ids that mean something to one source only."""
    names: set[str] = set()
    for one in (id_, *aliases):
        bare = _PREFIX.sub("", one)
        names |= {one, bare} | ({_PROMPT_NUMBER.sub("", bare)} if bare != one else set())
    return frozenset(name for name in names if not _LOCAL.match(name))


@dataclass(slots=True)
class Begun:
    """A request of which one source has told the start."""

    started: Started
    names: frozenset[str]
    first_token: Instant | None = None


@dataclass(slots=True, eq=False)
class Telling:
    """A whole request as one source told it.

    Attributes:
        life: from start to end. told: the end as it was told.
        at: when it was told.
        witnesses: what others told of it, by their number.
        is_led: whether the leader told of it.
    """

    life: Completed
    names: frozenset[str]
    told: Told
    at: Instant
    witnesses: dict[int, Completed] = field(default_factory=dict)
    is_led: bool = True


def whole(begun: Begun, event: Ended, told: Told, at: Instant) -> Telling:
    """Start and end as one telling."""
    life = together(begun.started, begun.first_token, event)
    return Telling(life, begun.names | names_of(event.id, told.aliases), told, at)


def merged(lives: Sequence[Completed]) -> Completed:
    """What several tellings of one request say together; the first is believed most.

    It ran when all of them agree, as far as they are sure: a front's time holds queueing before the execution that the
    server's log tells of, and a slow client after it.
    """
    first = lives[0]
    start, end, start_unsure, end_unsure = first.start, first.end, first.start_uncertainty, first.end_uncertainty
    for other in lives[1:]:
        if other.start - start > start_unsure + other.start_uncertainty + _CERTAIN_SECONDS:
            start, start_unsure = other.start, other.start_uncertainty
        if end - other.end > end_unsure + other.end_uncertainty + _CERTAIN_SECONDS:
            end, end_unsure = other.end, other.end_uncertainty
    queued = _queued(lives, start)
    if start >= end:  # they contradict each other
        start, end, start_unsure, end_unsure = first.start, first.end, first.start_uncertainty, first.end_uncertainty
        queued = first.queued_seconds
    token = next(
        (one.first_token for one in lives if one.first_token is not None and start < one.first_token <= end), None
    )
    return replace(
        first,
        start=start,
        end=end,
        start_uncertainty=start_unsure,
        end_uncertainty=end_unsure,
        first_token=token,
        queued_seconds=queued,
        outcome=next((one.outcome for one in lives if one.outcome != "ok"), "ok"),
        model=_known(lives, "model"),
        prompt_tokens=_known(lives, "prompt_tokens"),
        cached_tokens=_known(lives, "cached_tokens"),
        output_tokens=_known(lives, "output_tokens"),
        tenant=_known(lives, "tenant"),
        trace_id=_known(lives, "trace_id"),
    )


def _queued(lives: Sequence[Completed], start: Instant) -> float:
    """Seconds between arrival, as the source that saw it first tells, and `start`."""
    first = lives[0]
    earliest = min(lives, key=_arrival)
    earlier = _arrival(first) - _arrival(earliest)
    if start == first.start and earlier <= first.start_uncertainty + earliest.start_uncertainty + _CERTAIN_SECONDS:
        return first.queued_seconds
    return start - _arrival(earliest)


def _arrival(life: Completed) -> float:
    return life.start - life.queued_seconds


def _known(lives: Sequence[Completed], name: str) -> Any:
    return next((value for one in lives if (value := getattr(one, name)) is not None), None)


def is_near(one: Completed, other: Completed) -> bool:
    """Whether two tellings of one name can be of one request."""
    return one.start - other.end < NAMED_SLACK_SECONDS and other.start - one.end < NAMED_SLACK_SECONDS


def distance(one: Completed, other: Completed) -> float:
    """How little two nameless tellings seem to be of one request, in seconds; infinite where they cannot be."""
    apart = abs(one.end - other.end)
    if apart > one.end_uncertainty + other.end_uncertainty + _UNNAMED_SLACK_SECONDS:
        return inf
    slack = one.start_uncertainty + other.start_uncertainty + _UNNAMED_SLACK_SECONDS
    if one.start - other.end > slack or other.start - one.end > slack:
        return inf
    counts = (one.output_tokens, other.output_tokens)
    unequal = (None not in counts and counts[0] != counts[1]) + (one.outcome != other.outcome)
    return apart + _overhang(one, other) + _QUEUED * abs(one.start - other.start) + _UNEQUAL_SECONDS * unequal


def _overhang(one: Completed, other: Completed) -> float:
    """By how much neither of two lives lies within the other, as execution lies within what a front sees."""
    earlier, later_ = sorted((one, other), key=lambda life: life.start)
    return max(later_.end - earlier.end - later_.end_uncertainty - earlier.end_uncertainty, 0.0)


# --- across restarts -----------------------------------------------------------------------------------------------


def packed(telling: Telling) -> dict[str, Any]:
    """As JSON values."""
    end = telling.told.event
    return {
        "life": to_json(telling.life),
        "names": sorted(telling.names),
        "ended": to_json(end) if isinstance(end, Ended) else None,
        "heard_at": telling.told.heard_at,
        "at": telling.at,
        "is_led": telling.is_led,
        "witnesses": {str(number): to_json(life) for number, life in telling.witnesses.items()},
    }


def unpacked(saved: Mapping[str, Any]) -> Telling:
    """What was packed.

    Raises:
        UnfitError, KeyError, TypeError, ValueError: it was not.
    """
    life = from_json(Completed, saved["life"])
    event = from_json(Ended, saved["ended"]) if saved["ended"] is not None else life
    told = Told(event, from_json(float | None, saved["heard_at"]))
    witnesses = {int(number): from_json(Completed, one) for number, one in saved["witnesses"].items()}
    names, at, is_led = frozenset(map(str, saved["names"])), from_json(Instant, saved["at"]), bool(saved["is_led"])
    return Telling(life, names, told, at, witnesses, is_led)


def packed_begun(begun: Begun) -> dict[str, Any]:
    """As JSON values."""
    return {
        "started": to_json(begun.started),
        "names": sorted(begun.names),
        "first_token": begun.first_token,
    }


def unpacked_begun(saved: Mapping[str, Any]) -> Begun:
    """What was packed. Raises as `unpacked` does."""
    first = from_json(float | None, saved["first_token"])
    return Begun(from_json(Started, saved["started"]), frozenset(map(str, saved["names"])), first)
