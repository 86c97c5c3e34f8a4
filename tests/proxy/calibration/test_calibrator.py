"""What is kept of predictions' errors, and the calibration that comes of it."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.settings import ProxyName
from exporter.domain.snapshot import CoefficientView, Ground, HistogramValue, ProxyView, ScoreName, ScoreView
from exporter.domain.units import Joules
from exporter.proxy.calibration.calibration import Calibration, GroundScores, Key, Machine, from_json, to_json
from exporter.proxy.calibration.calibrator import LEVELS, MEMORY_SAMPLES, Calibrator, Terms
from exporter.proxy.proxies import TERMS
from exporter.proxy.proxy import Coefficient, Features, Floats
from tests.proxy.calibrations import DATE

COEFFICIENT = 2.0
"""So a request of a second, alone, is predicted to use two joules."""
TERMS_OF = Terms(Key("llama"), DATE, Machine("here", "0.2.0"), "measured", "steps")
NOTHING = HistogramValue((), (0,), 0.0, (None,))
NAN = float("nan")


def seen(concurrency: Sequence[float]) -> Features:
    """Requests of a second, with so many others."""
    seconds = np.ones(len(concurrency))
    shared = seconds / np.asarray(concurrency, dtype=float)
    some = np.full(len(concurrency), 100.0)
    return Features(seconds, seconds, seconds, shared, some, some, some, some, some, some)


def view(proxy: ProxyName, scores: dict[Ground, dict[ScoreName, float]] | None = None) -> ProxyView:
    grounds = {
        ground: ScoreView(7, recent=given, lifetime={"mape": 0.9}, error_ratio=NOTHING)
        for ground, given in (scores or {}).items()
    }
    coefficients = {term.name: CoefficientView(COEFFICIENT, 0.5) for term in TERMS[proxy]}
    return ProxyView("chat", "llama", proxy, Joules(0.0), 0, coefficients, grounds)


def told(calibrator: Calibrator, concurrency: Sequence[float], given: Floats, metered: Floats | None = None) -> None:
    """Requests whose energy is `given` or `metered` times what the coefficient says."""
    said = COEFFICIENT * seen(concurrency).shared_seconds
    alone = np.full(len(given), NAN) if metered is None else metered
    calibrator.observe(seen(concurrency), {"time_share": said}, given * said, alone * said)


def made(calibrator: Calibrator) -> Calibration:
    calibration = calibrator.calibration(TERMS_OF, [view("time_share")], {})
    assert calibration is not None
    return calibration


def test_before_any_proxy_has_learned_there_is_no_calibration() -> None:
    unlearned = ProxyView("chat", "llama", "time", Joules(0.0), 0, {}, {})
    assert Calibrator().calibration(TERMS_OF, [unlearned], {}) is None


def test_it_says_what_it_is_of_and_what_was_learned() -> None:
    calibrator = Calibrator()
    views = [view("time_share", {"window": {"mape": 0.1}, "isolated": {}}), view("peak")]
    calibration = calibrator.calibration(TERMS_OF, views, {"levels": []})
    assert calibration is not None
    assert (calibration.key, calibration.date, calibration.method, calibration.policy) == (
        Key("llama"),
        DATE,
        "measured",
        "steps",
    )
    assert calibration.proxies["time_share"].coefficients == {"shared_second": Coefficient(2.0, 0.5)}
    assert calibration.latency == {"levels": []}
    assert set(calibration.proxies) == {"time_share", "peak"}


def test_scores_are_those_of_late_and_where_there_are_none_those_of_all_time() -> None:
    views = [view("time_share", {"window": {"mape": 0.1}, "isolated": {}})]
    calibration = Calibrator().calibration(TERMS_OF, views, {})
    assert calibration is not None
    assert calibration.proxies["time_share"].grounds == {
        "window": GroundScores(7, {"mape": 0.1}),
        "isolated": GroundScores(7, {"mape": 0.9}),
    }


def test_who_ran_alone_is_held_against_the_meter_and_others_against_their_share() -> None:
    calibrator = Calibrator()
    told(calibrator, [1.0, 3.0], np.array([5.0, 1.25]), np.array([0.8, NAN]))
    proxy = made(calibrator).proxies["time_share"]
    (alone,), (shared,) = proxy.alone, proxy.shared
    assert (alone.concurrency, alone.samples) == (1, 1)
    assert alone.bias == pytest.approx(0.25)
    assert shared.concurrency == 2
    assert (shared.least, shared.most) == pytest.approx((3.0, 3.0))
    assert shared.bias == pytest.approx(-0.2)
    assert shared.size == pytest.approx(0.2)


def test_errors_are_those_of_the_coefficients_as_they_are_now_whatever_was_said_then() -> None:
    calibrator = Calibrator()
    features, joules = seen([3.0] * 50), COEFFICIENT * seen([3.0] * 50).shared_seconds
    calibrator.observe(features, {"time_share": 5.0 * joules}, joules, np.full(50, NAN))
    assert made(calibrator).proxies["time_share"].shared[0].size == pytest.approx(0.0, abs=1e-6)


def test_the_errors_of_several_coefficients_are_those_of_their_sum() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.uniform(1.0, 100.0, 80) for _ in range(10)]
    rows[2] = np.full(80, 3.0) * rows[3]
    features, used = Features(*rows), rng.uniform(100.0, 900.0, 80)
    calibrator = Calibrator()
    calibrator.observe(features, {"step_model": used}, used, np.full(80, NAN))
    calibration = calibrator.calibration(TERMS_OF, [view("step_model")], {})
    assert calibration is not None
    (spread,) = calibration.proxies["step_model"].shared
    off = COEFFICIENT * sum(term.cause(features) for term in TERMS["step_model"]) / used - 1.0
    assert spread.size == pytest.approx(np.sqrt(np.mean(off**2)), rel=0.05)
    assert spread.bias == pytest.approx(np.mean(off), rel=0.05)


@pytest.mark.parametrize(("relative", "joules"), [(0.1, 0.0), (0.0, 5.0), (0.1, 5.0)])
def test_what_grows_with_energy_is_told_from_what_every_request_is_off_by(relative: float, joules: float) -> None:
    rng = np.random.default_rng(0)
    seconds = rng.lognormal(3.0, 1.0, 4000)
    used = COEFFICIENT * seconds
    off = used * relative * rng.choice([-1.0, 1.0], 4000) + joules * rng.choice([-1.0, 1.0], 4000)
    ones = np.ones(4000)
    features = Features(ones, seconds, seconds, seconds, ones, ones, ones, ones, ones, ones)
    calibrator = Calibrator()
    calibrator.observe(features, {"time_share": used}, used, used + np.maximum(off, 0.5 - used))
    (spread,) = made(calibrator).proxies["time_share"].alone
    assert spread.relative == pytest.approx(relative, abs=0.03)
    assert spread.joules == pytest.approx(joules, abs=0.8)


def test_shares_of_two_rules_are_not_mixed() -> None:
    calibrator = Calibrator()
    features, joules = seen([1.0, 3.0]), np.ones(2)
    metered = np.array([1.0, NAN])
    for rule, times in (("time", 5.0), (None, 5.0), ("steps", 1.0), ("steps", 1.0)):
        calibrator.observe(features, {"time_share": joules}, times * joules, metered, rule)  # type: ignore[arg-type]
    again = Calibrator()
    again.restore(json.loads(json.dumps(calibrator.snapshot())))
    for one in (calibrator, again):
        calibration = made(one)
        assert calibration.policy == "steps"
        assert calibration.proxies["time_share"].shared[0].samples == 2
        assert calibration.proxies["time_share"].alone[0].samples == 4


def test_who_ran_alone_but_could_not_be_metered_tells_nothing() -> None:
    calibrator = Calibrator()
    told(calibrator, [1.0], np.array([1.5]))
    assert made(calibrator).proxies["time_share"].shared == ()


def test_concurrency_is_told_apart_by_doublings() -> None:
    calibrator = Calibrator()
    told(calibrator, [1.5, 2.0, 3.9, 4.0, 100.0, 128.0, 5000.0], np.ones(7))
    shared = made(calibrator).proxies["time_share"].shared
    assert [(one.concurrency, one.samples) for one in shared] == [(1, 1), (2, 2), (4, 1), (64, 1), (128, 2)]


def test_an_absurd_share_does_not_decide_for_all() -> None:
    calibrator = Calibrator()
    told(calibrator, [3.0], np.array([1e-9]))
    assert made(calibrator).proxies["time_share"].shared[0].size == pytest.approx(9.0)


def test_what_was_not_known_or_not_used_teaches_nothing() -> None:
    calibrator = Calibrator()
    calibrator.observe(seen([3.0, 3.0, NAN]), {"time_share": np.ones(3)}, np.array([NAN, 0.0, 1.0]), np.full(3, NAN))
    assert made(calibrator).proxies["time_share"].shared == ()


def test_old_requests_fade() -> None:
    calibrator = Calibrator()
    old, new = round(3 * MEMORY_SAMPLES), round(9 * MEMORY_SAMPLES)
    told(calibrator, [3.0] * old, np.full(old, 2.0))
    told(calibrator, [3.0] * new, np.full(new, 1.25))
    (spread,) = made(calibrator).proxies["time_share"].shared
    assert spread.samples == old + new
    assert spread.effective < 2.1 * MEMORY_SAMPLES
    assert spread.size == pytest.approx(0.2, rel=0.01)


@given(st.lists(st.tuples(st.floats(1.0, 300.0), st.floats(0.1, 10.0)), min_size=1, max_size=40), st.integers(0, 40))
def test_it_does_not_matter_in_how_many_pieces_requests_come(rows: list[tuple[float, float]], cut: int) -> None:
    concurrency, joules = [row[0] for row in rows], np.array([row[1] for row in rows])
    whole, pieces = Calibrator(), Calibrator()
    told(whole, concurrency, joules)
    told(pieces, concurrency[:cut], joules[:cut])
    told(pieces, concurrency[cut:], joules[cut:])
    for one, other in zip(
        made(whole).proxies["time_share"].shared, made(pieces).proxies["time_share"].shared, strict=True
    ):
        assert (one.concurrency, one.samples) == (other.concurrency, other.samples)
        assert one.bias == pytest.approx(other.bias, rel=1e-6, abs=1e-9)
        assert one.effective == pytest.approx(other.effective, rel=1e-9)


def test_after_a_restart_it_goes_on_from_where_it_was() -> None:
    before, after = Calibrator(), Calibrator()
    told(before, [1.0, 3.0], np.array([5.0, 1.2]), np.array([1.1, NAN]))
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert after.snapshot() == before.snapshot()
    assert made(after) == made(before)


@pytest.mark.parametrize(
    "garbled",
    [
        {"time_share shared": {"0": "AAAA"}},
        {"time_share shared": {"0": 7}},
        {"time_share shared": {"99": ""}},
        {"time_share": {}},
        {"luck shared": {}},
        {"time_share luck": {}},
        {"time_share shared": []},
    ],
)
def test_a_snapshot_that_does_not_fit_is_as_good_as_none(garbled: dict[str, Any]) -> None:
    calibrator = Calibrator()
    told(calibrator, [3.0], np.ones(1))
    calibrator.restore({"rule": None, "moments": garbled})
    assert calibrator.snapshot() == Calibrator().snapshot()
    calibrator.restore(garbled)
    assert calibrator.snapshot() == Calibrator().snapshot()


def test_what_it_keeps_is_small_however_much_it_has_seen() -> None:
    calibrator = Calibrator()
    rng = np.random.default_rng(0)
    for _ in range(20):
        concurrency = 2.0 ** rng.uniform(0.0, LEVELS + 1.0, 1000)
        said: dict[ProxyName, Floats] = {name: rng.lognormal(0.0, 1.0, 1000) for name in TERMS}
        metered = np.where(rng.random(1000) < 0.5, 1.0, NAN)
        calibrator.observe(seen(concurrency.tolist()), said, np.ones(1000), metered)
    assert len(json.dumps(calibrator.snapshot())) < 10_000


def test_whatever_is_made_can_be_written_and_read() -> None:
    calibrator = Calibrator()
    rng = np.random.default_rng(0)
    told(calibrator, (2.0 ** rng.uniform(0, 6, 200)).tolist(), rng.lognormal(0, 1, 200))
    assert from_json(to_json(made(calibrator))) == made(calibrator)
