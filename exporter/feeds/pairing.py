"""Which nameless tellings are of one request: as many pairs as can be, the likeliest first."""

from bisect import bisect
from collections.abc import Mapping
from math import inf

from exporter.feeds.telling import Telling, distance

_NEAREST = 16
"""So many ends before and after one's own are looked at."""


def paired(waiting: list[Telling], alone: Mapping[int, Telling]) -> list[tuple[Telling, int]]:
    """Pairs of the leader's tellings with a witness's, by its number.

    The closest pairs are made first; then pairs are exchanged wherever that makes one more (Kuhn's augmenting paths):
    whoever stayed alone for a wrong pair's sake would be counted twice.
    """
    likely = _likely(waiting, alone)
    taken: dict[int, int] = {}  # of waiting, by whom of alone
    edges = sorted((apart, index, number) for number, near in likely.items() for apart, index in near)
    free = set(likely)
    for _, index, number in edges:
        if number in free and index not in taken:
            taken[index] = number
            free.discard(number)
    for number in sorted(free):
        _augment(number, likely, taken, set())
    return [(waiting[index], number) for index, number in taken.items()]


def _likely(waiting: list[Telling], alone: Mapping[int, Telling]) -> dict[int, list[tuple[float, int]]]:
    """For each that is alone, who of the waiting it may be, the closest first."""
    order = sorted(range(len(waiting)), key=lambda index: waiting[index].life.end)
    ends = [waiting[index].life.end for index in order]
    likely = {}
    for number, telling in alone.items():
        middle = bisect(ends, telling.life.end)
        near = [
            (apart, index)
            for index in order[max(middle - _NEAREST, 0) : middle + _NEAREST]
            if (apart := distance(waiting[index].life, telling.life)) < inf
        ]
        likely[number] = sorted(near)
    return likely


def _augment(
    number: int, likely: Mapping[int, list[tuple[float, int]]], taken: dict[int, int], tried: set[int]
) -> bool:
    """Find a partner for this one, others moving on to their next best if they must."""
    for _, index in likely[number]:
        if index not in tried:
            tried.add(index)
            if index not in taken or _augment(taken[index], likely, taken, tried):
                taken[index] = number
                return True
    return False
