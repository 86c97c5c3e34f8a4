from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.tune.choices import MOST_SETTINGS, clock_settings, watt_settings


@given(st.integers(1, 1000), st.integers(0, 1500))
def test_watts_run_from_the_least_to_the_highest_ascending_and_not_too_many(least: int, more: int) -> None:
    settings = watt_settings(least, least + more)
    assert (settings[0], settings[-1]) == (least, least + more)
    assert all(low < high for low, high in pairwise(settings))
    assert len(settings) <= MOST_SETTINGS


@pytest.mark.parametrize(
    ("least", "highest", "count"), [(200, 700, 11), (100, 450, 13), (150, 400, 14), (100, 300, 11)]
)
def test_real_boards_get_ten_to_fifteen_round_settings(least: int, highest: int, count: int) -> None:
    settings = watt_settings(least, highest)
    assert len(settings) == count
    assert all(watts % 10 == 0 for watts in settings)


def test_a_board_without_room_has_one_setting() -> None:
    assert watt_settings(300, 300) == (300,)
    assert watt_settings(300, 250) == (250,)


def test_clocks_are_those_that_the_board_has_without_the_slowest_quarter() -> None:
    clocks = list(range(345, 1981, 15))
    settings = clock_settings(clocks)
    assert set(settings) <= set(clocks)
    assert (settings[0], settings[-1], len(settings)) == (495, 1980, MOST_SETTINGS)


def test_few_clocks_are_all_tried() -> None:
    assert clock_settings([900, 1200, 1500]) == (900, 1200, 1500)
    assert clock_settings([100, 1500]) == (1500,)
