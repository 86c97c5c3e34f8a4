from dataclasses import replace

import pytest

from exporter.domain.snapshot import ProxyView
from exporter.scoreboard import READING, scoreboard
from tests.metrics.examples import proxy_view, score_view


def cells(view: ProxyView) -> list[str]:
    """The proxy's row, word by word."""
    [row] = [line for line in scoreboard([view]) if line.startswith(f"{view.proxy} ")]
    return row.split()


def test_a_proxy_shows_error_bias_fit_and_number_on_each_ground() -> None:
    view = proxy_view("time", isolated=score_view(7, mape=0.1, bias=0.02, r2=0.9), window=score_view(1, bias=-0.5))
    assert cells(view) == [
        *("time", "15.0%", "+2.0%", "0.90", "7"),
        *("36.0%", "-50.0%", "0.62", "1"),
        *("36.0%", "-4.0%", "0.62", "5"),
    ]


def test_what_was_never_scored_is_a_dash_and_no_zero() -> None:
    assert cells(proxy_view("time"))[1:5] == ["-", "-", "-", "0"]


def test_a_ground_that_nobody_mentions_reads_like_one_without_samples() -> None:
    assert cells(replace(proxy_view("time"), scores={}))[1:] == ["-", "-", "-", "0"] * 3


def test_a_perfect_score_is_a_score() -> None:
    assert cells(proxy_view(isolated=score_view(1, mape=-0.05, bias=0.0, r2=0.0)))[1:5] == ["0.0%", "0.0%", "0.00", "1"]


@pytest.mark.parametrize(
    ("mape", "written"), [(0.95, "100%"), (3.2, "325%"), (99.0, "9905%"), (5599.95, "5600x"), (8e5, "800000x")]
)
def test_large_errors_lose_the_digits_that_say_nothing(mape: float, written: str) -> None:
    assert cells(proxy_view(isolated=score_view(1, mape=mape)))[1] == written


@pytest.mark.parametrize("bias", [-1e-9, 0.0, 1e-9])
def test_a_bias_that_rounds_to_nothing_has_no_sign(bias: float) -> None:
    assert cells(proxy_view(isolated=score_view(1, bias=bias)))[2] == "0.0%"


def test_a_hopeless_fit_keeps_to_its_column() -> None:
    assert cells(proxy_view(isolated=score_view(1, r2=-2_345_678.0)))[3] == "-2e+06"


def test_proxies_keep_their_order_and_models_their_tables() -> None:
    views = [proxy_view(proxy, model=model) for model in ("small", "large") for proxy in ("peak", "time")]
    first_words = [line.split()[0] for line in scoreboard(views)[: -len(READING)] if line]
    assert first_words == ["small", "ran", "proxy", "peak", "time", "large", "ran", "proxy", "peak", "time"]


def test_the_length_of_a_window_is_said() -> None:
    assert any("windows of 5 s" in line for line in scoreboard([proxy_view()], window_seconds=5.0))


def test_shares_are_starred_and_the_star_is_explained() -> None:
    lines = scoreboard([proxy_view()])
    assert lines[1].endswith("shares*")
    assert "*: energy of overlapping requests is shared by a rule, not metered" in " ".join(lines)


def test_drift_is_named_with_its_ground() -> None:
    drifting = replace(score_view(), drift=-4.25, drifting=True)
    assert "! time drifts on window: -4.2 standard deviations off its own history" in scoreboard(
        [proxy_view(window=drifting)]
    )
    assert not [line for line in scoreboard([proxy_view()]) if line.startswith("!")]


def test_before_any_prediction_it_says_so() -> None:
    assert scoreboard([]) == ["No proxy has predicted anything yet."]


def test_no_line_is_wider_than_a_hundred_columns() -> None:
    wild = score_view(99_999, mape=98.0, bias=-98.0, r2=-99.0)
    lines = scoreboard([proxy_view("affine_time", isolated=wild, window=wild, request=wild)], window_seconds=1234.5)
    assert max(map(len, lines)) <= 100
