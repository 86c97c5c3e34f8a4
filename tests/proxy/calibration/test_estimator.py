"""Estimates: who speaks, and how wide the interval is. Whether it holds is for test_coverage.py."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.settings import ProxyName
from exporter.proxy.calibration.calibration import Calibration, GroundScores, ProxyCalibration, Spread
from exporter.proxy.calibration.estimator import Estimates, Estimator, order_of
from exporter.proxy.calibration.interval import (
    EDGE_LOSS_SECONDS,
    EDGE_NOISE_SECONDS,
    NORMAL,
    RULES,
    half_width,
    nine_tenths,
)
from exporter.proxy.proxy import Coefficient, Features
from tests.proxy.calibrations import CALIBRATION, STEP_MODEL, TIME_SHARE

NAN = float("nan")
PEAK = ProxyCalibration({"second": Coefficient(700.0, 0.0)})


def seen(concurrency: Sequence[float], tokens: float = 100.0) -> Features:
    """Requests of ten seconds, with so many others; NaN tokens are unknown."""
    seconds = np.full(len(concurrency), 10.0)
    shared = seconds / np.asarray(concurrency, dtype=float)
    some = np.full(len(concurrency), tokens)
    return Features(
        np.ones(len(concurrency)), seconds, seconds, shared, some, some, some, some, some * shared / 10.0, some * 50.0
    )


def of(**proxies: ProxyCalibration) -> Calibration:
    named: dict[Any, ProxyCalibration] = dict(proxies)
    return replace(CALIBRATION, proxies=named)


def estimates(calibration: Calibration, concurrency: Sequence[float], tokens: float = 100.0) -> Estimates:
    return Estimator(calibration).estimate(seen(concurrency, tokens))


def spread(concurrency: float, samples: int = 1000, size: float = 0.02) -> Spread:
    level = 2 ** int(np.log2(concurrency))
    return Spread(
        level, concurrency, 1.9 * concurrency if concurrency > 1.0 else 1.0, samples, samples, 0.0, size, size, 0.0
    )


def width(name: ProxyName, proxy: ProxyCalibration, concurrency: float) -> float:
    return float(half_width(name, proxy, "steps", seen([concurrency]), np.array([100.0]))[0])


def test_the_proxy_that_was_off_the_least_speaks() -> None:
    told = estimates(CALIBRATION, [3.0])
    assert told.proxy == ("step_model",)
    assert told.joules[0] == pytest.approx(3.16 * 100 / 3 + 0.02 * 100 + 0.0665 * 100 + 1e-5 * 5000)
    assert told.low[0] < told.joules[0] < told.high[0]


def test_where_the_log_does_not_tell_tokens_time_speaks() -> None:
    told = estimates(CALIBRATION, [3.0], tokens=NAN)
    assert told.proxy == ("time_share",)
    assert told.joules[0] == pytest.approx(350.0 * 10.0 / 3.0)


def test_where_nobody_can_speak_nothing_is_said() -> None:
    told = estimates(of(step_model=STEP_MODEL), [3.0], tokens=NAN)
    assert told.proxy == (None,)
    assert np.isnan([told.joules[0], told.low[0], told.high[0]]).all()


def test_no_requests_are_no_trouble() -> None:
    assert len(estimates(CALIBRATION, [])) == 0


def test_peak_speaks_only_where_there_is_nothing_else() -> None:
    assert estimates(of(peak=PEAK, time_share=TIME_SHARE), [3.0]).proxy == ("time_share",)
    assert estimates(of(peak=PEAK, step_model=STEP_MODEL), [3.0], tokens=NAN).proxy == (None,)
    alone = estimates(of(peak=PEAK), [3.0])
    assert alone.proxy == ("peak",)
    assert alone.high[0] / alone.joules[0] == pytest.approx(10.0)


def test_who_was_off_the_least_goes_first_and_unknown_ones_last() -> None:
    unknown = replace(TIME_SHARE, alone=(), shared=())
    proxies = {"tokens": unknown, "time_share": TIME_SHARE, "step_model": STEP_MODEL}
    assert order_of(of(**proxies)) == ("step_model", "time_share", "tokens")


def test_who_is_off_for_metered_windows_is_not_saved_by_agreeing_with_the_rule() -> None:
    grounds: dict[Any, GroundScores] = {"window": GroundScores(9, {"mape": 0.4})}
    echo = replace(TIME_SHARE, alone=(), shared=(spread(4.0, size=0.0),), grounds=grounds)
    assert order_of(of(time_share=echo, step_model=STEP_MODEL)) == ("step_model", "time_share")


def test_another_speaks_only_where_it_is_much_surer() -> None:
    sure = replace(STEP_MODEL, alone=(spread(1.0, size=0.05),), shared=(), grounds={})
    surer = replace(TIME_SHARE, alone=(spread(1.0, size=0.03),), shared=(spread(8.0, 10, size=0.5),), grounds={})
    much_surer = replace(surer, alone=(spread(1.0, size=0.01),))
    assert estimates(of(step_model=sure, time_share=surer), [1.0]).proxy == ("step_model",)
    loud = replace(much_surer, shared=(spread(8.0, size=0.9),))
    assert estimates(of(step_model=sure, time_share=loud), [1.0]).proxy == ("time_share",)


def test_an_interval_is_as_wide_as_the_meter_says_for_who_runs_alone() -> None:
    proxy = replace(STEP_MODEL, alone=(spread(1.0, 10**6, 0.01),), shared=(), grounds={})
    own = np.sqrt(0.01**2 - (EDGE_NOISE_SECONDS / 10.0) ** 2)
    assert width("step_model", proxy, 1.0) == pytest.approx(NORMAL * np.hypot(own, EDGE_LOSS_SECONDS / 10.0), rel=1e-4)


def test_what_meters_lose_at_edges_remains_where_nothing_scatters() -> None:
    proxy = replace(STEP_MODEL, alone=(spread(1.0, 10**6, 0.0),), shared=(), grounds={})
    assert width("step_model", proxy, 1.0) == pytest.approx(EDGE_LOSS_SECONDS / 10.0, rel=1e-4)


@pytest.mark.parametrize("scatter", [0.1, 0.3, 0.7, 0.99, 1.01, 1.5, 4.0])
def test_nine_tenths_of_what_is_lost_one_way_and_scatters_lie_within(scatter: float) -> None:
    off = 0.01 + 0.01 * scatter * np.random.default_rng(0).standard_normal(200_000)
    within = np.abs(off) <= nine_tenths(np.array([0.01]), np.array([0.01 * scatter]))
    assert within.mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(("samples", "least"), [(1, 0.5), (3, 0.16), (10, 0.015)])
def test_a_few_requests_that_agreed_prove_nothing(samples: int, least: float) -> None:
    proxy = replace(STEP_MODEL, alone=(spread(1.0, samples, 0.0),), shared=(), grounds={})
    assert width("step_model", proxy, 1.0) >= least


@given(st.integers(1, 1000), st.floats(0.001, 0.5))
def test_more_samples_never_widen_an_interval(samples: int, size: float) -> None:
    fewer, more = (
        replace(STEP_MODEL, alone=(spread(1.0, count, size),), shared=(), grounds={})
        for count in (samples, samples + 1)
    )
    assert width("step_model", more, 1.0) <= width("step_model", fewer, 1.0)


def test_what_every_request_is_off_by_is_more_of_a_small_one() -> None:
    both = Spread(1, 1.0, 1.0, 10**6, 1e6, 0.0, 0.05, 0.03, 4.0)
    proxy = replace(STEP_MODEL, alone=(both,), shared=(), grounds={})
    joules = np.array([1e9, 100.0, 10.0, 1e-9, 0.0])
    widths = half_width("step_model", proxy, "steps", seen([1.0] * 5), joules) / NORMAL
    assert widths[:3] == pytest.approx([0.03, 0.05, np.hypot(0.03, 0.4)], rel=1e-3)
    assert widths[3:] == pytest.approx([np.log(10.0)] * 2, rel=1e-3)


def test_agreeing_with_a_rule_makes_nobody_surer_than_the_rule() -> None:
    echo = replace(STEP_MODEL, alone=(), shared=(spread(8.0, 10**6, 0.0),), grounds={})
    assert width("step_model", echo, 8.0) == pytest.approx(NORMAL * RULES["steps"].floor * 3.0, rel=1e-3)
    other = float(half_width("step_model", echo, "time", seen([8.0]), np.array([100.0]))[0])
    assert other == pytest.approx(NORMAL * RULES["time"].floor * 3.0, rel=1e-3)


def test_what_the_rule_may_be_wrong_by_is_not_held_against_the_proxy() -> None:
    off = replace(STEP_MODEL, alone=(), shared=(spread(8.0, 10**6, 0.2),), grounds={})
    assert 0.15 * NORMAL < width("step_model", off, 9.0) < 0.2 * NORMAL


def test_nobody_is_surer_than_windows_of_metered_time_let_them() -> None:
    sure = replace(STEP_MODEL, shared=(spread(2.0, 10**6, 0.01), spread(8.0, 10**6, 0.01)))
    unsure = replace(sure, grounds={"window": GroundScores(50, {"mape": 0.2})})
    assert width("step_model", sure, 3.0) < 0.1
    assert width("step_model", unsure, 3.0) == pytest.approx(NORMAL * 0.2 * np.sqrt(np.pi / 2.0), rel=0.01)


@pytest.mark.parametrize("name", ["step_model", "time_share"])
def test_beyond_the_company_that_was_seen_intervals_widen(name: ProxyName) -> None:
    proxy = replace(CALIBRATION.proxies[name], alone=(), shared=(spread(4.0), spread(8.0)))
    upward = [width(name, proxy, n) for n in (15.0, 30.0, 60.0, 240.0)]
    downward = [width(name, proxy, n) for n in (4.0, 1.5, 1.0)]
    assert upward == sorted(upward)
    assert upward[-1] > 2.0 * upward[0]
    assert downward[-1] > downward[0]


def test_what_was_seen_at_two_ends_is_known_between_them() -> None:
    ends = replace(STEP_MODEL, alone=(spread(1.0, size=0.01),), shared=(spread(16.0, size=0.05),), grounds={})
    assert width("step_model", ends, 4.0) < width("step_model", ends, 16.0)


def test_a_load_that_never_varied_cannot_speak_for_another() -> None:
    steady = replace(STEP_MODEL, alone=(spread(1.0),), shared=(), grounds={})
    varied = replace(steady, shared=(spread(2.0),))
    assert width("step_model", steady, 16.0) > 2.0
    assert width("step_model", varied, 16.0) < 0.5
    lonely = replace(TIME_SHARE, alone=(spread(1.0),), shared=(), grounds={})
    assert estimates(of(step_model=steady, time_share=lonely), [1.0, 16.0]).proxy == ("step_model", "time_share")


def test_without_any_residual_an_estimate_may_be_tenfold_off() -> None:
    assert width("step_model", replace(STEP_MODEL, alone=(), shared=()), 3.0) == pytest.approx(np.log(10.0))


def test_who_is_with_him_makes_no_difference_to_a_request() -> None:
    together = estimates(CALIBRATION, [1.0, 3.0, 40.0])
    for index, concurrency in enumerate([1.0, 3.0, 40.0]):
        apart = estimates(CALIBRATION, [concurrency])
        assert (apart.joules[0], apart.low[0], apart.high[0]) == (
            together.joules[index],
            together.low[index],
            together.high[index],
        )
