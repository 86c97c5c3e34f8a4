import pytest

from exporter.server.quantities import count, joules, percent, plain, seconds, signed_percent, watts


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0 J"),
        (0.0665, "0.067 J"),
        (1.5, "1.5 J"),
        (73.1667, "73.2 J"),
        (999.0, "999 J"),
        (3500.0, "3.5 kJ"),
        (2.5e6, "2.5 MJ"),
        (1.25e10, "12.5 GJ"),
        (1000.0, "1 kJ"),
        (100.0, "100 J"),
        (-1500.0, "-1.5 kJ"),
    ],
)
def test_joules_have_three_digits_and_a_unit_that_suits(value: float, written: str) -> None:
    assert joules(value) == written


def test_watts_read_like_joules() -> None:
    assert watts(412.4) == "412 W"
    assert watts(2400.0) == "2.4 kW"


@pytest.mark.parametrize(("value", "written"), [(0.0021, "2.1 ms"), (0.05, "50 ms"), (1.5, "1.5 s"), (900.0, "900 s")])
def test_short_times_are_milliseconds(value: float, written: str) -> None:
    assert seconds(value) == written


def test_large_counts_are_grouped() -> None:
    assert count(48213) == "48\N{NARROW NO-BREAK SPACE}213"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0 %"),
        (0.062, "6.2 %"),
        (0.31, "31 %"),
        (1.34, "134 %"),
        (-0.04, "\N{MINUS SIGN}4 %"),
        (56.0, "5600 %"),
        (240.4, "240 times"),
    ],
)
def test_errors_are_percent_until_that_says_nothing(value: float, written: str) -> None:
    assert percent(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == written


@pytest.mark.parametrize(
    ("value", "sign"),
    [(0.1, "+"), (0.0, ""), (1e-9, ""), (-1e-9, ""), (-0.1, "\N{MINUS SIGN}"), (-500.0, "\N{MINUS SIGN}")],
)
def test_a_bias_has_its_sign(value: float, sign: str) -> None:
    assert signed_percent(value).rstrip("0123456789 %times\N{NARROW NO-BREAK SPACE}") == sign


@pytest.mark.parametrize(("value", "written"), [(0.934, "0.93"), (0.0, "0.00"), (-3.1, "-3.10"), (-2e6, "< -100")])
def test_a_hopeless_fit_is_just_hopeless(value: float, written: str) -> None:
    assert plain(value).replace("\N{MINUS SIGN}", "-") == written
