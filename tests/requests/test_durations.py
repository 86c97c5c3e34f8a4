import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.requests.parts.durations import is_whole_seconds, nanoseconds, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("0ns", 0),
        ("12ns", 12),
        ("49.382\u00b5s", 49_382),
        ("49.382\u03bcs", 49_382),
        ("49.382us", 49_382),
        ("402.77ms", 402_770_000),
        ("402ms", 402_000_000),
        ("1.284511902s", 1_284_511_902),
        ("12.004s", 12_004_000_000),
        ("1m2s", 62_000_000_000),
        ("1m2.3s", 62_300_000_000),
        ("29m59s", 1_799_000_000_000),
        ("1h0m0.5s", 3_600_500_000_000),
        ("1h2m", 3_720_000_000_000),
    ],
)
def test_a_duration_is_read_to_the_nanosecond(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected
    assert seconds(text) == pytest.approx(expected / 1e9)


@pytest.mark.parametrize(
    "text", ["", "s", "1", "-1s", "1.s", ".5s", "1.5", "1s2m", "1 s", "1e3s", "٣s", "1ks", "9" * 30 + "s"]
)
def test_what_is_no_duration_says_nothing(text: str) -> None:
    assert nanoseconds(text) is None
    assert seconds(text) is None


@pytest.mark.parametrize("text", ["1m2s", "1h0m0s"])
def test_a_duration_of_minutes_without_a_fraction_was_cut(text: str) -> None:
    assert is_whole_seconds(text)


@pytest.mark.parametrize("text", ["1m2.5s", "59s", "402ms"])
def test_other_durations_are_exact(text: str) -> None:
    assert not is_whole_seconds(text)


@given(st.text("0123456789.hmnusµ", max_size=40))
def test_no_text_is_too_much(text: str) -> None:
    found = nanoseconds(text)
    assert found is None or 0 <= found <= 366 * 86_400 * 10**9
