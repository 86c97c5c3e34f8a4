"""Requests booked into rows of time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.claims import Claims, Floats, Life
from exporter.pipeline.booking import PRESENCE, Bookings
from exporter.proxy.proxy import Features

ROW = 5.0


def seen(count: int, **columns: Floats) -> Features:
    known = {name: np.ones(count) for name in Features.__dataclass_fields__}
    return Features(**{**known, **columns})


def booked(*lives: Life, predicted: Floats | None = None, **columns: Floats) -> Bookings:
    bookings = Bookings(0, ROW, ["time"])
    joules = predicted if predicted is not None else np.ones(len(lives))
    bookings.add(Claims.of(lives), seen(len(lives), **columns), {"time": joules})
    return bookings


def test_a_request_counts_in_each_row_by_the_part_of_its_life_in_it() -> None:
    rows = booked(Life(4.0, 4.0, 14.0, 0.0, 0.0)).table(0, 3)
    assert rows["requests"] == pytest.approx([0.1, 0.5, 0.4])
    assert rows["time"] == pytest.approx([0.1, 0.5, 0.4])
    assert rows[PRESENCE] == pytest.approx([1.0, 5.0, 4.0])


def test_prompts_are_booked_before_the_first_token_and_output_after_it() -> None:
    rows = booked(Life(4.0, 6.0, 14.0, 0.0, 0.0), prompt_tokens=np.array([100.0]), output_tokens=np.array([80.0]))
    table = rows.table(0, 3)
    assert table["prompt_tokens"] == pytest.approx([50.0, 50.0, 0.0])
    assert table["output_tokens"] == pytest.approx([0.0, 40.0, 40.0])


def test_a_single_token_is_booked_though_its_decode_takes_no_time() -> None:
    table = booked(Life(1.0, 4.0, 4.0, 0.0, 0.0), output_tokens=np.array([1.0])).table(0, 1)
    assert table["output_tokens"] == pytest.approx([1.0])


def test_one_unknown_prompt_makes_only_the_rows_it_touches_unknown() -> None:
    lives = (Life(1.0, 2.0, 4.0, 0.0, 0.0), Life(11.0, 12.0, 14.0, 0.0, 0.0))
    table = booked(*lives, prompt_tokens=np.array([np.nan, 7.0])).table(0, 3)
    assert np.isnan(table["prompt_tokens"][0])
    assert table["prompt_tokens"][1:] == pytest.approx([0.0, 7.0])
    assert table["output_tokens"] == pytest.approx([1.0, 0.0, 1.0])


def test_rows_before_the_first_are_let_go() -> None:
    bookings = booked(Life(4.0, 4.0, 14.0, 0.0, 0.0))
    bookings.forget(2)
    assert bookings.table(2, 3)["time"] == pytest.approx([0.4])
    bookings.add(Claims.of([Life(6.0, 6.0, 14.0, 0.0, 0.0)]), seen(1), {"time": np.array([8.0])})
    assert bookings.table(2, 4)["time"] == pytest.approx([4.4, 0.0])


def test_however_far_time_leaps_the_rows_stay_bounded() -> None:
    bookings = booked(Life(1.0, 1.0, 2.0, 0.0, 0.0))
    bookings.add(Claims.of([Life(1e8, 1e8, 1e8 + 5.0, 0.0, 0.0)]), seen(1), {"time": np.array([3.0])})
    number = int(1e8 / ROW)
    assert bookings.table(number, number + 2)["time"].sum() == pytest.approx(3.0)
    assert bookings.first > number - 10_000


@given(
    st.lists(
        st.tuples(st.floats(0.0, 300.0), st.floats(0.0, 1.0), st.floats(0.01, 200.0), st.floats(0.0, 1e4)),
        min_size=1,
        max_size=20,
    )
)
def test_nothing_booked_is_lost(told: list[tuple[float, float, float, float]]) -> None:
    lives = [Life(start, start + part * length, start + length, 0.0, 0.0) for start, part, length, _ in told]
    amounts = np.array([amount for *_, amount in told])
    bookings = booked(*lives, predicted=amounts, prompt_tokens=amounts, output_tokens=amounts)
    table = bookings.table(0, 110)
    for name in ("time", "prompt_tokens", "output_tokens"):
        assert table[name].sum() == pytest.approx(amounts.sum(), rel=1e-6, abs=1e-6)
