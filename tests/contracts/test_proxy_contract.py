"""What every proxy must do; a new one is found here by itself."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.settings import ProxyName
from exporter.proxy.proxies import PROXIES, TERMS, UNITS
from exporter.proxy.proxy import Features, Floats, LastingProxy
from tests.properties import PROPERTIES
from tests.proxy.loads import PRICES, STRETCH_SECONDS, energy, features, stretches, table, truth

LIMIT_WATTS = PRICES["second"]
"""Of the devices: what makes even the proxy that only multiplies by it right, where its theory holds."""
FOLLOWED = 9
"""Stretches within which a lasting change must have been followed."""


def new(name: ProxyName) -> LastingProxy:
    return PROXIES[name](LIMIT_WATTS)


def learns(name: ProxyName) -> bool:
    return not new(name).coefficients


LEARNING = [name for name in PROXIES if learns(name)]
every = pytest.mark.parametrize("name", PROXIES)
every_that_learns = pytest.mark.parametrize("name", LEARNING)


def noisy(name: ProxyName, seen: Features, rng: np.random.Generator, noise: float = 0.02) -> Floats:
    metered: Floats = energy(name, seen) * (1.0 + noise * rng.normal(size=len(seen)))
    return metered


def taught(name: ProxyName, count: int = 60, *, seed: int = 1, noise: float = 0.02) -> LastingProxy:
    rng = np.random.default_rng(seed)
    seen = stretches(rng, count)
    proxy = new(name)
    proxy.learn(seen, noisy(name, seen, rng, noise), STRETCH_SECONDS)
    return proxy


def requests(count: int = 50) -> Features:
    """Rows it has not seen."""
    return stretches(np.random.default_rng(77), count)


def off(proxy: LastingProxy, name: ProxyName, scale: float = 1.0) -> float:
    """The largest relative error of its predictions, all of which it must make."""
    seen = requests()
    return float(np.max(np.abs(proxy.predict(seen) / (scale * energy(name, seen)) - 1.0)))


def sound(joules: Floats) -> bool:
    return bool((np.isnan(joules) | ((joules >= 0.0) & (joules < np.inf))).all())


@every
def test_it_can_be_asked_before_it_learned_anything(name: ProxyName) -> None:
    said = new(name).predict(requests(7))
    assert said.shape == (7,)
    assert np.isnan(said).all() == learns(name)


@every
def test_asking_changes_nothing(name: ProxyName) -> None:
    proxy = taught(name)
    before = json.dumps(proxy.snapshot())
    first = proxy.predict(requests())
    assert np.array_equal(proxy.predict(requests()), first)
    assert json.dumps(proxy.snapshot()) == before


@every
def test_where_its_theory_holds_it_is_right(name: ProxyName) -> None:
    assert off(taught(name), name) < 0.05


@every
def test_its_coefficients_are_those_of_its_terms_and_never_negative(name: ProxyName) -> None:
    learned = taught(name).coefficients
    assert list(learned) == [term.name for term in TERMS[name]] == list(UNITS[name])
    for coefficient in learned.values():
        assert 0.0 <= coefficient.value < np.inf
        assert coefficient.error >= 0.0


@every
def test_in_another_proxys_world_it_is_wrong_but_sound(name: ProxyName) -> None:
    for world in LEARNING:
        rng = np.random.default_rng(3)
        seen, proxy = stretches(rng, 60), new(name)
        proxy.learn(seen, noisy(world, seen, rng), STRETCH_SECONDS)
        assert sound(proxy.predict(requests()))


@every
def test_a_row_where_something_it_needs_is_not_known_is_not_predicted(name: ProxyName) -> None:
    proxy, seen = taught(name), table(requests())
    whole = proxy.predict(features(seen))
    needed = 0
    for column in range(seen.shape[1]):
        holed = seen.copy()
        holed[::2, column] = np.nan
        said = proxy.predict(features(holed))
        assert np.array_equal(said[1::2], whole[1::2])
        assert np.isnan(said[::2]).all() or np.array_equal(said, whole)
        needed += int(np.isnan(said[::2]).all())
    assert needed >= 1


@every
def test_it_can_be_asked_about_no_rows_and_taught_none(name: ProxyName) -> None:
    proxy = taught(name)
    before = proxy.snapshot()
    proxy.learn(requests(0), np.zeros(0), STRETCH_SECONDS)
    assert proxy.snapshot() == before
    assert proxy.predict(requests(0)).shape == (0,)


@every_that_learns
def test_a_single_stretch_teaches_nothing_false(name: ProxyName) -> None:
    proxy = new(name)
    proxy.learn(requests(1), np.array([123456.0]), STRETCH_SECONDS)
    assert np.isnan(proxy.predict(requests())).all()


@every
def test_the_same_stretch_over_and_over_teaches_that_stretch(name: ProxyName) -> None:
    proxy = new(name)
    seen = requests(1).rows(np.zeros(40, dtype=np.intp))
    proxy.learn(seen, energy(name, seen), STRETCH_SECONDS)
    assert proxy.predict(requests(1)) == pytest.approx(energy(name, requests(1)), rel=0.01)


@every
def test_energy_of_nothing_but_zeros_is_survived(name: ProxyName) -> None:
    proxy = new(name)
    proxy.learn(requests(40), np.zeros(40), STRETCH_SECONDS)
    assert np.isnan(proxy.predict(requests())).all() == learns(name)
    seen = requests(40)
    proxy.learn(seen, energy(name, seen), STRETCH_SECONDS)
    assert off(proxy, name) < 0.05


@every
def test_a_few_stretches_without_energy_hardly_move_it(name: ProxyName) -> None:
    proxy = taught(name)
    proxy.learn(requests(3), np.zeros(3), STRETCH_SECONDS)
    assert off(proxy, name) < 0.05


@every
@pytest.mark.parametrize("at", [0, 8, 30, 59])
def test_one_stretch_a_hundred_times_too_high_hardly_moves_it(name: ProxyName, at: int) -> None:
    rng = np.random.default_rng(at)
    seen = stretches(rng, 60)
    joules = noisy(name, seen, rng)
    joules[at] *= 100.0
    proxy = new(name)
    proxy.learn(seen, joules, STRETCH_SECONDS)
    assert off(proxy, name) < 0.05


@every
@pytest.mark.parametrize("at", [0, 8, 30, 59])
def test_one_stretch_with_everything_counted_a_hundred_times_hardly_moves_it(name: ProxyName, at: int) -> None:
    rng = np.random.default_rng(at)
    seen = stretches(rng, 60)
    joules = noisy(name, seen, rng)
    rows = table(seen)
    rows[at] *= 100.0
    proxy = new(name)
    proxy.learn(features(rows), joules, STRETCH_SECONDS)
    assert off(proxy, name) < 0.08


@every
def test_stretches_with_holes_are_left_out_and_the_others_learned(name: ProxyName) -> None:
    rng = np.random.default_rng(4)
    seen = stretches(rng, 60)
    joules = noisy(name, seen, rng)
    with_holes, without = new(name), new(name)
    rows, metered = np.repeat(table(seen), 3, axis=0), np.repeat(joules, 3)
    rows[1::3] = np.nan
    metered[2::3] = np.nan
    with_holes.learn(features(rows), metered, STRETCH_SECONDS)
    without.learn(seen, joules, STRETCH_SECONDS)
    assert np.array_equal(with_holes.predict(requests()), without.predict(requests()))
    assert off(with_holes, name) < 0.05


@every
def test_quiet_stretches_teach_and_fade_nothing(name: ProxyName) -> None:
    proxy = taught(name)
    before = proxy.snapshot()
    nothing = features(np.zeros((500, table(requests(1)).shape[1])))
    proxy.learn(nothing, np.full(500, 3.0), STRETCH_SECONDS)
    assert proxy.snapshot() == before


@every_that_learns
def test_a_lasting_change_is_followed_within_nine_stretches(name: ProxyName) -> None:
    rng = np.random.default_rng(5)
    proxy = taught(name, 400)
    seen = stretches(rng, FOLLOWED)
    proxy.learn(seen, 2.0 * noisy(name, seen, rng), STRETCH_SECONDS)
    assert off(proxy, name, scale=2.0) < 0.10


@every_that_learns
def test_a_change_too_small_to_notice_is_followed_as_the_past_fades(name: ProxyName) -> None:
    rng = np.random.default_rng(6)
    proxy = taught(name, 1200)
    seen = stretches(rng, 700)
    proxy.learn(seen, 1.04 * noisy(name, seen, rng), STRETCH_SECONDS)
    assert off(proxy, name, scale=1.04) < 0.017


@every
def test_how_stretches_are_bundled_makes_no_difference(name: ProxyName) -> None:
    rng = np.random.default_rng(7)
    seen = stretches(rng, 40)
    joules = noisy(name, seen, rng)
    together, apart = new(name), new(name)
    together.learn(seen, joules, STRETCH_SECONDS)
    for row in range(40):
        apart.learn(seen.rows(slice(row, row + 1)), joules[row : row + 1], STRETCH_SECONDS)
    assert together.snapshot() == apart.snapshot()
    each = [apart.predict(requests().rows(slice(row, row + 1)))[0] for row in range(50)]
    assert together.predict(requests()).tolist() == each


@every
@pytest.mark.parametrize("count", [0, 5, 60])
def test_it_goes_on_after_a_restart_to_the_last_bit(name: ProxyName, count: int) -> None:
    before, after = taught(name, count), new(name)
    after.restore(json.loads(json.dumps(before.snapshot())))
    rng = np.random.default_rng(8)
    for _ in range(4):
        assert np.array_equal(before.predict(requests()), after.predict(requests()), equal_nan=True)
        assert before.coefficients == after.coefficients
        seen = stretches(rng, 10)
        joules = 1.5 * noisy(name, seen, rng)
        before.learn(seen, joules, STRETCH_SECONDS)
        after.learn(seen, joules, STRETCH_SECONDS)


FOREIGN: list[Callable[[ProxyName], object]] = [
    lambda _: {},
    lambda _: {"fit": None, "latest": "x", "spread": {}, "usual": [1]},
    lambda name: {**taught(name).snapshot(), "spread": [[float("nan")]]},
    lambda name: {**taught(name).snapshot(), "fit": {"terms": ["other"]}},
    lambda name: taught("tokens" if name == "time" else "time").snapshot(),
]


@every
@pytest.mark.parametrize("left", FOREIGN)
def test_a_snapshot_that_does_not_fit_is_as_good_as_none(name: ProxyName, left: Callable[[ProxyName], object]) -> None:
    proxy = new(name)
    other = left(name)
    assert isinstance(other, dict)
    proxy.restore(other)
    assert proxy.snapshot() == new(name).snapshot()
    assert np.array_equal(proxy.predict(requests()), new(name).predict(requests()), equal_nan=True)


@every_that_learns
def test_the_truth_lies_within_two_standard_errors_nineteen_times_of_twenty(name: ProxyName) -> None:
    within = [
        abs(found.value - truth(name)[term]) <= 2.0 * found.error
        for seed in range(40)
        for term, found in taught(name, seed=seed, noise=0.05).coefficients.items()
    ]
    assert 0.86 < np.mean(within) <= 1.0
    assert any(within)


COLUMNS = len(Features.__slots__)
_amounts = st.sampled_from([0.0, 0.1, 1.0, 40.0, 3000.0]) | st.floats(0.0, 1e6)


@every
@PROPERTIES
@given(rows=st.lists(st.lists(_amounts, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=5))
def test_predictions_of_rows_add_up_to_that_of_their_sum(name: ProxyName, rows: list[list[float]]) -> None:
    proxy, each = TAUGHT[name], np.array(rows)
    said = proxy.predict(features(each))
    assert sound(said)
    if np.isfinite(said).all():
        together = proxy.predict(features(each.sum(axis=0, keepdims=True)))
        assert together == pytest.approx([said.sum()], rel=1e-9, abs=1e-300)


TAUGHT = {name: taught(name) for name in PROXIES}
