"""The parts of judging that are arithmetic: raw sensors, least squares, sentences."""

import numpy as np
import pytest

from exporter.domain.readings import CounterReading, Device, PowerReading
from exporter.domain.units import Instant, Joules, Watts
from validation.judging.finding import Findings
from validation.judging.lines import fitted
from validation.judging.metered import Metered
from validation.judging.proxies import BINS, GROUNDS, LEARNED, SHARES, Forgetting, Score, Study
from validation.judging.sentences import sentences

COUNTED = Device("gpu0", "gpu", has_counter=True)
POWERED = Device("cpu0", "cpu", power_window_seconds=0.2)


def counting(watts: float, seconds: float, *, device: Device = COUNTED, start: float = 1000.0) -> list[CounterReading]:
    """Polls at 20 Hz of a counter that steps ten times a second."""
    polls = np.arange(0.0, seconds, 0.05)
    return [
        CounterReading(device.name, Instant(100.0 + at), Joules(start + watts * np.floor(at * 10.0 + 1e-6) / 10.0))
        for at in polls.tolist()
    ]


# --- raw sensors -----------------------------------------------------------------------------------------------------


def test_energy_between_two_instants_is_read_off_the_counter() -> None:
    metered = Metered([COUNTED])
    metered.take(counting(300.0, 10.0))
    assert metered.joules(102.0, 105.0) == pytest.approx(900.0)
    assert metered.joules(102.03, 102.04) == pytest.approx(3.0, rel=1e-6)
    assert metered.period_seconds == pytest.approx(0.1)
    assert metered.counted("gpu0") == pytest.approx(300.0 * 9.8)


def test_time_that_was_not_metered_has_no_energy() -> None:
    metered = Metered([COUNTED])
    assert metered.joules(100.0, 101.0) is None
    metered.take(counting(300.0, 10.0))
    assert metered.joules(99.0, 101.0) is None
    assert metered.joules(105.0, 115.0) is None


def test_a_counter_that_goes_back_is_not_trusted() -> None:
    metered = Metered([COUNTED])
    metered.take([*counting(300.0, 5.0), CounterReading("gpu0", Instant(105.1), Joules(0.0))])
    assert metered.resets == 1
    assert metered.counted("gpu0") is None


def test_a_counter_that_wraps_goes_on() -> None:
    wrapping = Device("cpu0", "cpu", has_counter=True, counter_range_joules=1200.0)
    metered = Metered([wrapping])
    metered.take(
        CounterReading("cpu0", reading.at, Joules(reading.joules % 1200.0))
        for reading in counting(300.0, 5.0, device=wrapping)
    )
    assert not metered.resets
    assert metered.joules(100.5, 104.5) == pytest.approx(1200.0)


def test_without_a_counter_power_is_integrated_and_dated_back() -> None:
    """A mean over 0.2 s before it was read, of power that rises evenly, is that of 0.1 s earlier."""
    metered = Metered([POWERED])
    metered.take(PowerReading("cpu0", Instant(at), Watts(10.0 * (at - 0.1))) for at in np.arange(0.0, 10.0, 0.1))
    assert metered.joules(2.0, 4.0) == pytest.approx(60.0, rel=1e-6)


def test_devices_are_added_up() -> None:
    metered = Metered([COUNTED, POWERED])
    metered.take(counting(300.0, 10.0))
    metered.take(PowerReading("cpu0", Instant(100.0 + at), Watts(50.0)) for at in np.arange(0.0, 10.0, 0.1))
    assert metered.joules(102.0, 103.0) == pytest.approx(350.0)


# --- least squares ---------------------------------------------------------------------------------------------------


def test_known_coefficients_lie_in_their_intervals() -> None:
    """Of 200 regressions with 8 samples some 95 % must hold the truth: the intervals know how few samples there are."""
    chance = np.random.default_rng(5)
    causes = np.array([[share * 100.0, (1.0 - share) * 10.0] for share in (0.5, 0.1, 0.9, 0.3, 0.7, 0.0, 1.0, 0.6)])
    inside = 0
    for _ in range(200):
        fit = fitted(causes, causes @ np.array([2.0, 30.0]) + chance.normal(0.0, 5.0, 8))
        assert fit is not None
        interval = fit.interval(0)
        assert interval is not None
        inside += interval[0] <= 2.0 <= interval[1]
    assert 0.9 <= inside / 200 <= 0.99


def test_what_cannot_be_told_apart_is_not() -> None:
    assert fitted(np.array([[1.0, 2.0]] * 5), np.ones(5)) is None
    assert fitted(np.array([[1.0, 2.0]]), np.ones(1)) is None
    assert fitted(np.array([[1.0, 0.0], [2.0, 0.0]]), np.ones(2)) is None


def test_as_many_samples_as_coefficients_leave_no_interval() -> None:
    fit = fitted(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 4.0]))
    assert fit is not None
    assert fit.values == pytest.approx((3.0, 4.0))
    assert fit.interval(0) is None


# --- sentences -------------------------------------------------------------------------------------------------------


def score(proxy: str, mape: float | None, *, ground: str = GROUNDS["window"], at: str = "any", n: int = 20) -> Score:
    return Score(proxy, ground, at, n, mape, 0.0, None, None)  # type: ignore[arg-type]


def study(*overall: Score, hindsight: tuple[Score, ...] = (), forgetting: tuple[Forgetting, ...] = ()) -> Study:
    return Study(overall, (), hindsight, (), forgetting, None)


def test_a_best_proxy_is_named_only_where_it_is_better() -> None:
    (clear,) = sentences(study(score("time_share", 0.05), score("time", 0.50)))
    assert "time_share is off by 5.0%" in clear
    assert "the least of all; next is time with 50.0%" in clear
    (close,) = sentences(study(score("time_share", 0.05), score("time", 0.055)))
    assert "as good for all that can be told" in close


def test_few_samples_say_nothing() -> None:
    assert not sentences(study(score("time_share", 0.05, n=4), score("time", 0.5, n=4)))
    assert not sentences(study(score("time_share", 0.05), score("time", None)))


def test_shares_that_are_one_rules_are_no_ground_for_a_verdict() -> None:
    assert not sentences(study(score("time_share", 0.05, ground=SHARES), score("time", 0.5, ground=SHARES)))


def test_the_worst_there_is_is_no_candidate() -> None:
    assert not sentences(study(score("peak", 0.01), score("time", 0.5)))


@pytest.mark.parametrize(
    ("time", "share", "said"), [(0.6, 0.1, "better"), (0.1, 0.6, "worse"), (0.1, 0.11, "no difference")]
)
def test_dividing_time_is_called_what_it_is(time: float, share: float, said: str) -> None:
    at = BINS[2].name
    those = (score("time", time, ground=LEARNED, at=at), score("time_share", share, ground=LEARNED, at=at))
    (told,) = sentences(study(hindsight=those))
    assert said in told
    assert "In hindsight" in told


def test_forgetting_is_told_only_of_several_at_once() -> None:
    alone, many = Forgetting("1", 1.0, 8, 1.0), Forgetting("17-64", 40.2, 4, 58.0)
    (told,) = sentences(study(forgetting=(alone, many, Forgetting("5-16", 9.0, 1, 12.0))))
    assert "With 58 requests at once" in told
    assert "40.2 times the metered energy (4 stretches)" in told


# --- findings --------------------------------------------------------------------------------------------------------


def test_a_spread_of_nothing_is_not_known() -> None:
    found = Findings("run")
    found.spread("error", [], "s", "some")
    found.spread("other", [1.0, 2.0, 3.0], "s", "some")
    assert [(figure.value, figure.samples) for figure in found.figures] == [(None, 0), (2.0, 3)]
