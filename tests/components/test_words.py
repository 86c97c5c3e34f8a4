import math

import pytest

from exporter.components import words
from exporter.domain.dissection import Case
from tests.dissections.examples import CPU, GPU, dissection


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0.00 J"),
        (1.0, "1.00 J"),
        (12.345, "12.3 J"),
        (0.0123456, "12.3 mJ"),
        (999.6, "1.00 kJ"),
        (999.4, "999 J"),
        (1e-3, "1.00 mJ"),
        (-0.00025, "-250 uJ"),
        (3.2e-12, "3.20 pJ"),
        (1e-18, "0.00 fJ"),
        (None, "-"),
        (math.inf, "-"),
        (math.nan, "-"),
    ],
)
def test_quantities_have_three_digits_and_a_prefix(value: float | None, said: str) -> None:
    assert words.quantity(value, "J") == said


def test_a_plain_number_has_no_trailing_space() -> None:
    assert words.quantity(12.0, "") == "12.0"
    assert words.quantity(12e6, "") == "12.0 M"


@pytest.mark.parametrize(
    ("number", "said"),
    [(999, "999 parameters"), (527_000, "527 thousand parameters"), (999_900_000, "1 billion parameters")],
)
def test_parameters_are_said_in_words(number: int, said: str) -> None:
    assert words.parameters_words(number) == said


def test_what_is_not_measured_is_said_loudly() -> None:
    assert words.how(GPU) == "measured"
    assert "ESTIMATED" in words.how(CPU)


def test_decode_speaks_of_the_cache() -> None:
    assert words.case_words(Case("decode", 2, 64)) == "decode, batch 2, cache 64, float32, sdpa"


def test_shares_are_of_the_block_or_the_model() -> None:
    one = dissection(block=8.0)
    shares = {part.component: words.share_of_whole(one, part) for part in one.components}
    assert shares["model"] is None
    assert shares["attention"] == pytest.approx(3.0 / 8.0)
    assert shares["norm"] == pytest.approx(2 * 0.25 / 8.0), "all its instances"
    assert shares["block"] == pytest.approx(4 * 8.0 / 35.7)
