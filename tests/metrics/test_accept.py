import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.accept import qualities


def test_a_name_without_weight_weighs_one() -> None:
    assert qualities("text/plain, gzip;q=0.5") == {"text/plain": 1.0, "gzip": 0.5}


def test_the_best_of_several_weights_counts() -> None:
    assert qualities("a;version=2;q=0.75,a;q=0.5") == {"a": 0.75}


def test_a_weight_that_is_nonsense_weighs_nothing() -> None:
    assert qualities("gzip;q=much") == {"gzip": 0.0}


@pytest.mark.parametrize("header", ["", ",", ";", " , ;q=1"])
def test_an_empty_header_wants_nothing(header: str) -> None:
    assert qualities(header) == {}


@given(st.text())
def test_any_header_can_be_read(header: str) -> None:
    qualities(header)
