"""What people are warned of before they use a calibration."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from exporter.domain.readings import Method
from exporter.proxy.calibration.calibration import Calibration, GroundScores, Key, ProxyCalibration
from exporter.proxy.calibration.cautions import cautions
from exporter.proxy.proxy import Coefficient
from tests.proxy.calibrations import CALIBRATION, STEP_MODEL

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def only(calibration: Calibration, now: datetime = NOW) -> str:
    (caution,) = cautions(calibration, now)
    return caution


def test_a_fresh_one_from_a_sensor_needs_no_caution() -> None:
    assert not list(cautions(CALIBRATION, NOW))


@pytest.mark.parametrize(
    ("method", "word"), [("estimated", "ESTIMATE"), ("simulated", "SIMULATION"), ("recorded", "RECORDED")]
)
def test_an_estimate_from_an_estimate_says_so(method: Method, word: str) -> None:
    assert word in only(replace(CALIBRATION, method=method))


def test_an_old_one_is_called_old() -> None:
    assert "375 days old" in only(CALIBRATION, datetime(2027, 12, 1, 8, tzinfo=UTC))


def test_one_from_the_future_is_no_less_odd() -> None:
    assert "future" in only(CALIBRATION, datetime(2026, 1, 1, tzinfo=UTC))


def test_few_metered_samples_are_counted_out() -> None:
    few = replace(STEP_MODEL, grounds={"isolated": GroundScores(3, {}), "window": GroundScores(5, {"mape": 0.01})})
    said = list(cautions(replace(CALIBRATION, proxies={"step_model": few}), NOW))
    assert "only 3 ran alone" in said[0]
    assert "tested on only 5" in said[1]


def test_what_was_bad_where_it_was_made_is_called_bad() -> None:
    grounds = {**STEP_MODEL.grounds, "isolated": GroundScores(99, {"mape": 0.4}), "window": GroundScores(99, {})}
    assert "off by 40%" in only(replace(CALIBRATION, proxies={"step_model": replace(STEP_MODEL, grounds=grounds)}))


def test_what_it_does_not_say_of_itself_is_named() -> None:
    assert "hardware, engine, dtype, driver" in only(replace(CALIBRATION, key=Key("llama")))


def test_that_nothing_ever_overlapped_is_said() -> None:
    lonely = replace(STEP_MODEL, shared=())
    assert "no requests that overlapped" in only(replace(CALIBRATION, proxies={"step_model": lonely}))


def test_what_the_power_limit_scores_counts_for_nothing() -> None:
    peak = ProxyCalibration({"second": Coefficient(700.0, 0.0)}, grounds={"window": GroundScores(90, {"mape": 6.0})})
    unscored = replace(STEP_MODEL, grounds={})
    said = " ".join(cautions(replace(CALIBRATION, proxies={"peak": peak, "step_model": unscored}), NOW))
    assert "best proxy" not in said
    assert "tested on only 0" in said
