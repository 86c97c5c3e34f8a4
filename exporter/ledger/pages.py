"""Slices as bytes, a minute at a time, so that saving often costs only what has changed."""

import zlib
from collections.abc import Iterator, Mapping

import numpy as np

from exporter.ledger.claims import Floats
from exporter.ledger.slices import Slices

PAGE_SLICES = 600


def changed_pages(slices: Slices) -> Iterator[tuple[int, bytes]]:
    """Pages touched since this was last asked, by number; a page holds slices [600 x number, 600 x (number + 1))."""
    first, last = max(slices.touched, slices.closed) // PAGE_SLICES, (slices.reached - 1) // PAGE_SLICES
    for number in range(first, last + 1):
        yield number, zlib.compress(_page(slices, number).tobytes(), level=1)
    slices.touched = slices.reached


def restore_pages(slices: Slices, pages: Mapping[int, bytes]) -> None:
    """Put saved pages back into empty slices of the same shape.

    Raises:
        ValueError: a page was saved from slices of another shape.
    """
    for number in sorted(pages):
        page = np.frombuffer(zlib.decompress(pages[number])).reshape(-1, PAGE_SLICES)
        first = max(number * PAGE_SLICES, slices.closed)
        stop = min((number + 1) * PAGE_SLICES, slices.reached)
        if first < stop:
            _put(slices, first, page[:, first - number * PAGE_SLICES : stop - number * PAGE_SLICES])


def _rows(slices: Slices) -> Iterator[Floats]:
    """Every row of every array, in a fixed order."""
    for array in slices.arrays():
        yield from array.reshape(-1, array.shape[-1])


def _page(slices: Slices, number: int) -> Floats:
    page = np.zeros((sum(1 for _ in _rows(slices)), PAGE_SLICES))
    first = max(number * PAGE_SLICES, slices.base)
    stop = min((number + 1) * PAGE_SLICES, slices.base + slices.energy.shape[-1])
    for index, row in enumerate(_rows(slices)):
        page[index, first - number * PAGE_SLICES : stop - number * PAGE_SLICES] = row[
            first - slices.base : stop - slices.base
        ]
    return page


def _put(slices: Slices, first: int, part: Floats) -> None:
    rows = list(_rows(slices))
    if len(rows) != len(part):
        raise ValueError(f"a page of {len(part)} rows for slices of {len(rows)}")
    for row, saved in zip(rows, part, strict=True):
        row[first - slices.base : first - slices.base + part.shape[1]] = saved
