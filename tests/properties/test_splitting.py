"""How slices split: no order, batching or moment makes a difference, and nobody gets more than there was."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.ledger.claims import Claims, Floats, Life
from exporter.ledger.slices import QUANTITIES, Reserved, Slices
from tests.properties import PROPERTIES

SECONDS = 12.0
SLICE_SECONDS = 0.1
LANES = 2
MICROSECONDS = 1e-6
_edges = st.integers(0, 10_000_000).map(lambda us: us * MICROSECONDS) | st.integers(0, 100).map(lambda n: n * 0.1)
"""Instants of this century are no finer; and by rounding, whoever is there for less than a nanosecond is not there."""


@st.composite
def lives(draw: st.DrawFn) -> Life:
    start = draw(_edges)
    end = start + draw(st.sampled_from([1000, 100_000, 350_000]) | st.integers(1000, 2_000_000)) * MICROSECONDS
    first = start + draw(st.sampled_from([0.0, 0.5, 1.0])) * (end - start)
    return Life(start, first, end, draw(st.integers(0, 4000)), draw(st.integers(0, 800)), draw(st.integers(0, 4000)))


_claimed = st.lists(st.tuples(st.integers(0, LANES - 1), lives()), min_size=1, max_size=12)
_prices = st.lists(
    st.lists(st.sampled_from([0.0, 0.1, 1.0, 30.0]), min_size=QUANTITIES, max_size=QUANTITIES),
    min_size=LANES,
    max_size=LANES,
)


class Split:
    """Slices with known energy and claims, that settle in the order and the batches they are told to."""

    def __init__(self, claimed: list[tuple[int, Life]], prices: list[list[float]], begin: float = 0.0) -> None:
        self.slices = Slices(devices=2, lanes=LANES, slice_seconds=SLICE_SECONDS, capacity=64, since=begin)
        self.claimed = [(lane, _shifted(life, begin)) for lane, life in claimed]
        for start, watts in ((0.0, 80.0), (2.5, 400.0), (7.0, 650.0)):
            self.slices.deposit(0, begin + start, begin + start + 3.0, 3.0 * watts)
            self.slices.deposit(1, begin + start, begin + start + 2.0, watts)
        for lane, life in self.claimed:
            self.slices.register(lane, Claims.of([life]))
        first, stop = self.slices.number(begin), self.slices.number(begin + SECONDS) + 1
        self.reserved: Reserved = self.slices.reserve([Claims.of([])] * LANES, first, stop)
        self.prices: Floats = np.repeat(np.array(prices).T[:, :, None], stop - first, axis=2)
        self.before = self.slices.left.sum(axis=1)

    def settle(self, *batches: list[int]) -> Floats:
        """Joules by device and request, of shape (devices, requests)."""
        joules = np.zeros((2, len(self.claimed)))
        for batch in batches:
            for lane in range(LANES):
                mine = [index for index in batch if self.claimed[index][0] == lane]
                claims = Claims.of([self.claimed[index][1] for index in mine])
                if mine:
                    joules[:, mine] = self.slices.settle(lane, claims, self.prices, self.reserved).total
        return joules

    def in_slices_of(self, index: int) -> Floats:
        """Energy that was in the slices this request touched, by device."""
        _, life = self.claimed[index]
        run = slice(self.slices.number(life.start) - self.slices.base, self.slices.number(life.end) - self.slices.base)
        energy: Floats = self.slices.energy[:, run.start : run.stop + 1].sum(axis=1)
        return energy


def _shifted(life: Life, by: float) -> Life:
    return Life(life.start + by, life.first_token + by, life.end + by, *life[3:])


@PROPERTIES
@given(_claimed, _prices, st.data())
def test_any_order_and_any_batching_give_the_same_split(
    claimed: list[tuple[int, Life]], prices: list[list[float]], data: st.DataObject
) -> None:
    together = Split(claimed, prices).settle(list(range(len(claimed))))
    order = data.draw(st.permutations(range(len(claimed))))
    cut = data.draw(st.integers(0, len(claimed)))
    for batches in ([[one] for one in order], [order[:cut], order[cut:]]):
        assert Split(claimed, prices).settle(*batches) == pytest.approx(together, rel=1e-9, abs=1e-8)


def _off_the_edges(life: Life) -> Life:
    """On half milliseconds: at the very edge of a slice rounding decides who was there."""
    start, first, end = (math.floor(edge * 1000.0) / 1000.0 + 0.0005 for edge in life[:3])
    return Life(start, first, end + 0.001, *life[3:])


@PROPERTIES
@given(_claimed, _prices)
def test_what_is_given_is_what_leaves_the_slices(claimed: list[tuple[int, Life]], prices: list[list[float]]) -> None:
    split = Split(claimed, prices)
    given_out = split.settle(list(range(len(claimed)))).sum(axis=1)
    assert split.slices.left.sum(axis=1) + given_out == pytest.approx(split.before, rel=1e-10)


_A_MICROSECOND = Life(2.210245, 3.400001, 3.400001, 1, 800, 1)
_ALL_AT_ONCE = Life(8.075234, 8.076234, 8.076234, 4000, 800, 0)
"""One token's prompt, of which a microsecond lies in a slice of its own, and later a prompt of 4 million tokens/s."""


@PROPERTIES
@example([(0, _ALL_AT_ONCE), (0, _A_MICROSECOND)], [[0.0, 1.0, 30.0, 1.0, 1.0], [0.0, 0.0, 30.0, 1.0, 30.0]])
@example(
    [
        (0, Life(0.1, 0.1, 0.1 + 1e-3, 4000, 0)),
        (0, Life(1.000001, 1.000001, 2.300001, 1, 0)),
        (0, Life(4.0, 4.0, 4.001, 4000, 0)),
    ],
    [[0.0, 0.0, 0.0, 0.1, 0.0]] * LANES,
)
@given(_claimed, _prices)
def test_nobody_gets_less_than_nothing_or_more_than_its_slices_held(
    claimed: list[tuple[int, Life]], prices: list[list[float]]
) -> None:
    split = Split(claimed, prices)
    joules = split.settle(list(range(len(claimed))))
    assert (joules >= 0.0).all()
    for index in range(len(claimed)):
        assert (joules[:, index] <= split.in_slices_of(index) * (1.0 + 1e-9) + 1e-9).all()


@PROPERTIES
@given(_claimed, _prices, st.sampled_from([0.1, 1.0, 1e3, 1e6, 1_795_234_620.0]))
def test_the_split_is_the_same_at_any_time_of_history(
    claimed: list[tuple[int, Life]], prices: list[list[float]], begin: float
) -> None:
    claimed = [(lane, _off_the_edges(life)) for lane, life in claimed]
    everyone = list(range(len(claimed)))
    now, then = Split(claimed, prices).settle(everyone), Split(claimed, prices, begin).settle(everyone)
    # A double holds an instant of this century to 0.24 us only: of 1000 W that is 0.24 mJ.
    assert then == pytest.approx(now, rel=1e-3, abs=1e-2)


@PROPERTIES
@given(lives(), st.integers(2, 9), _prices)
def test_twins_get_equal_joules(life: Life, count: int, prices: list[list[float]]) -> None:
    joules = Split([(0, life)] * count, prices).settle(list(range(count)))
    assert joules == pytest.approx(joules[:, :1].repeat(count, axis=1), rel=1e-9)
