"""Scores against a slow reference that shares nothing with them, however the samples come."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.snapshot import ScoreName
from exporter.proxy.proxy import Floats
from exporter.proxy.scoring.samples import LATEST, THINNED
from exporter.proxy.scoring.scores import RATIO_BOUNDS, Scores

NOTHING = float("nan")


def scored(actual: Sequence[float], *predicted: Sequence[float], batches: Sequence[int] = ()) -> Scores:
    """Scores of these samples, cut into batches at these places."""
    scores, table = Scores(len(predicted)), np.array([actual, *predicted], dtype=np.float64)
    for start, stop in pairwise([0, *sorted(batches), table.shape[1]]):
        scores.add(table[0, start:stop], table[1:, start:stop])
    return scores


def by_hand(actual: Sequence[float], predicted: Sequence[float]) -> dict[ScoreName, float]:
    """The scores as their definitions say them."""
    pairs = [(a, p) for a, p in zip(actual, predicted, strict=True) if not np.isnan(p)]
    if len(pairs) < 3:
        return {}
    x, y = [a for a, _ in pairs], [p for _, p in pairs]
    found: dict[ScoreName, float] = {
        "mape": sum(abs(p - a) / a for a, p in pairs) / len(pairs),
        "bias": sum(p - a for a, p in pairs) / sum(x),
    }
    if len(set(x)) > 1:
        middle = float(np.mean(x))
        found["r2"] = 1.0 - sum((p - a) ** 2 for a, p in pairs) / sum((a - middle) ** 2 for a in x)
    if len(set(x)) > 1 and len(set(y)) > 1:
        found["pearson"] = float(np.corrcoef(x, y)[0, 1])
        found["spearman"] = float(np.corrcoef(ranked(x), ranked(y))[0, 1])
    return found


def ranked(values: Sequence[float]) -> list[float]:
    """Ranks by sorting, where equal values share the mean of the places they take."""
    order = sorted(values)
    return [order.index(value) + (order.count(value) + 1) / 2 for value in values]


def same(found: Mapping[ScoreName, float], expected: Mapping[ScoreName, float], *, abs_: float = 1e-9) -> bool:
    return dict(found) == pytest.approx(dict(expected), rel=1e-7, abs=abs_)


energies = st.integers(1, 40).map(float) | st.floats(0.001, 1e5)
predictions = energies | st.just(NOTHING) | st.just(0.0)
samples = st.lists(st.tuples(energies, predictions, predictions), min_size=1, max_size=40)


class TestDefinitions:
    @settings(deadline=None)
    @given(samples)
    def test_every_score_is_what_its_definition_says(self, rows: list[tuple[float, float, float]]) -> None:
        actual, *predicted = zip(*rows, strict=True)
        scores = scored(actual, *predicted)
        for recent, lifetime, column in zip(scores.recent(), scores.lifetime(), predicted, strict=True):
            assert same(recent, by_hand(actual, column))
            assert same(lifetime, by_hand(actual, column))

    def test_right_predictions_are_perfect(self) -> None:
        (found,) = scored([3.0, 1.0, 4.0, 1.0], [3.0, 1.0, 4.0, 1.0]).recent()
        assert same(found, {"r2": 1.0, "mape": 0.0, "bias": 0.0, "pearson": 1.0, "spearman": 1.0})

    def test_r2_is_of_the_prediction_and_not_of_the_best_line_through_it(self) -> None:
        (found,) = scored([1.0, 2.0, 3.0], [3.0, 6.0, 9.0]).recent()
        assert same(found, {"r2": 1.0 - 56.0 / 2.0, "mape": 2.0, "bias": 2.0, "pearson": 1.0, "spearman": 1.0})

    def test_the_mean_itself_has_an_r2_of_nothing_and_no_correlation(self) -> None:
        (found,) = scored([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]).recent()
        assert found["r2"] == pytest.approx(0.0)
        assert found.keys() == {"r2", "mape", "bias"}

    def test_energy_that_does_not_vary_leaves_only_errors(self) -> None:
        """Of a tenth and its like the mean is not exactly the number: that must not pass for variation."""
        (found,) = scored([0.1] * 1001, np.linspace(0.1, 0.2, 1001).tolist(), batches=range(7, 1000, 13)).lifetime()
        assert found.keys() == {"mape", "bias"}

    def test_two_samples_say_nothing(self) -> None:
        scores = scored([1.0, 2.0], [1.0, 3.0])
        assert scores.recent() == scores.lifetime() == [{}]
        assert scores.samples == [2]

    def test_without_samples_there_is_nothing(self) -> None:
        scores = Scores(2)
        assert scores.recent() == scores.lifetime() == [{}, {}]
        assert scores.samples == [0, 0]
        assert [histogram.sum for histogram in scores.error_ratios()] == [0.0, 0.0]

    def test_what_one_proxy_did_not_predict_is_no_ones_loss_but_its_own(self) -> None:
        scores = scored([1.0, 2.0, 4.0, 3.0], [1.0, 2.0, 4.0, 3.0], [1.0, NOTHING, 4.0, NOTHING])
        assert scores.samples == [4, 2]
        assert scores.recent()[0]["r2"] == 1.0
        assert scores.recent()[1] == {}


class TestAllTime:
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(energies, predictions), min_size=3, max_size=60),
        st.lists(st.integers(0, 60), max_size=6),
    )
    def test_how_samples_came_in_batches_makes_no_difference(
        self, rows: list[tuple[float, float]], cuts: list[int]
    ) -> None:
        actual, predicted = zip(*rows, strict=True)
        cuts = [cut for cut in cuts if cut <= len(rows)]
        (whole,), (parts,) = (scored(actual, predicted, batches=some).lifetime() for some in ([], cuts))
        assert same(parts, whole)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=3, max_size=30))
    def test_small_differences_between_huge_numbers_are_not_lost(self, rows: list[tuple[int, int]]) -> None:
        """Sums of squares would have lost all of it: 1e18 leaves no digit for 1."""
        actual, predicted = zip(*((1e9 + a, 1e9 + p) for a, p in rows), strict=True)
        (found,) = scored(actual, predicted, batches=range(len(rows))).lifetime()
        small = by_hand([1.0 + a for a, _ in rows], [1.0 + p for _, p in rows])
        expected = by_hand(actual, predicted) | {name: small[name] for name in small.keys() & {"r2", "pearson"}}
        assert same(found, expected, abs_=1e-6)

    def test_the_latest_samples_alone_make_the_recent_scores(self) -> None:
        rng = np.random.default_rng(1)
        actual, predicted = rng.gamma(2.0, 100.0, (2, 3 * LATEST)).tolist()
        scores = scored(actual, predicted, batches=[100, 500])
        assert same(scores.recent()[0], by_hand(actual[-LATEST:], predicted[-LATEST:]))
        assert scores.lifetime()[0]["mape"] == pytest.approx(by_hand(actual, predicted)["mape"])

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 5 * THINNED), st.lists(st.integers(0, 5 * THINNED), max_size=4))
    def test_all_time_rank_correlation_is_that_of_every_so_manieth_sample(self, count: int, cuts: list[int]) -> None:
        rng = np.random.default_rng(count)
        actual = rng.gamma(2.0, 100.0, count)
        predicted = actual * rng.lognormal(0.0, 0.5, count)
        stride = next(stride for stride in (1, 2, 4, 8) if len(actual[::stride]) <= THINNED)
        cuts = [cut for cut in cuts if cut <= count]
        (found,) = scored(actual.tolist(), predicted.tolist(), batches=cuts).lifetime()
        expected = by_hand(actual[::stride].tolist(), predicted[::stride].tolist())
        assert found.get("spearman") == pytest.approx(expected.get("spearman"))

    def test_the_few_that_are_kept_tell_the_rank_correlation_of_all(self) -> None:
        rng = np.random.default_rng(2)
        actual = rng.gamma(2.0, 100.0, 20_000)
        predicted = actual * rng.lognormal(0.0, 0.5, 20_000)
        scores = scored(actual.tolist(), predicted.tolist(), batches=range(0, 20_000, 71))
        places = [np.argsort(np.argsort(one)).tolist() for one in (actual, predicted)]
        assert scores.lifetime()[0]["spearman"] == pytest.approx(np.corrcoef(places)[0, 1], abs=0.06)


class TestErrorRatios:
    def test_a_ratio_on_a_bound_belongs_below_it(self) -> None:
        (histogram,) = scored([1.0, 1.0, 1.0, 1.0], [1.0, 1.001, 0.0, 1e6]).error_ratios()
        exact = RATIO_BOUNDS.index(1.0)
        assert histogram.bounds == RATIO_BOUNDS
        assert [index for index, count in enumerate(histogram.counts) if count] == [
            0,
            exact,
            exact + 1,
            len(RATIO_BOUNDS),
        ]
        assert histogram.sum == pytest.approx(1e6 + 2.001)

    @settings(deadline=None)
    @given(samples)
    def test_it_counts_each_prediction_once(self, rows: list[tuple[float, float, float]]) -> None:
        actual, *predicted = zip(*rows, strict=True)
        scores = scored(actual, *predicted)
        for histogram, count, column in zip(scores.error_ratios(), scores.samples, predicted, strict=True):
            said = ~np.isnan(column)
            assert sum(histogram.counts) == count == said.sum()
            assert histogram.sum == pytest.approx(np.sum(np.array(column)[said] / np.array(actual)[said]))
            assert len(histogram.exemplars) == len(histogram.counts) == len(histogram.bounds) + 1

    def test_its_bounds_are_finest_where_proxies_are_good(self) -> None:
        """They are part of the metric: a change here is a change of meaning for everyone who recorded it."""
        assert list(RATIO_BOUNDS) == sorted(set(RATIO_BOUNDS))
        assert {0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 2.0} <= set(RATIO_BOUNDS)
        assert (RATIO_BOUNDS[0], RATIO_BOUNDS[-1]) == (0.1, 10.0)


class TestRestarts:
    def test_after_a_restart_the_scores_are_the_same(self) -> None:
        before, after = crowd(), Scores(3)
        again(before, after, [0, 1, 2], 3)
        assert after.samples == before.samples
        assert after.error_ratios() == before.error_ratios()
        assert after.books() == before.books()
        assert after.kept() == before.kept()
        for then, now in zip(before.recent() + before.lifetime(), after.recent() + after.lifetime(), strict=True):
            assert dict(now) == pytest.approx(dict(then), rel=1e-3)

    def test_and_they_go_on_the_same(self) -> None:
        before, after = crowd(), Scores(3)
        again(before, after, [0, 1, 2], 3)
        more = np.random.default_rng(4).gamma(2.0, 100.0, (4, 333))
        for one in (before, after):
            one.add(more[0], more[1:])
        assert after.kept()["thinned"]["seen"] == before.kept()["thinned"]["seen"] == 1333
        for then, now in zip(before.lifetime(), after.lifetime(), strict=True):
            assert dict(now) == pytest.approx(dict(then), rel=1e-3)

    def test_other_proxies_than_before_each_find_their_own(self) -> None:
        before, after = crowd(), Scores(3)
        again(before, after, [2, -1, 0], 3)
        assert after.samples == [before.samples[2], 0, before.samples[0]]
        assert after.error_ratios()[2] == before.error_ratios()[0]
        assert after.lifetime()[1] == after.recent()[1] == {}
        assert dict(after.lifetime()[2]) == pytest.approx(dict(before.lifetime()[0]), rel=1e-3)

    def test_samples_of_one_and_books_of_another_do_not_mix(self) -> None:
        with pytest.raises(ValueError, match="expected"):
            Scores(2).restore(crowd().books(), [0, 1], 2)
        with pytest.raises(ValueError, match="reshape"):
            Scores(2).restore_kept(crowd().kept(), [0, 1], 7)


def crowd() -> Scores:
    """Three proxies over a thousand samples, of which the last one said little."""
    rng = np.random.default_rng(3)
    actual: Floats = rng.gamma(2.0, 100.0, 1000)
    predicted = actual * rng.lognormal(0.1, 0.3, (3, 1000))
    predicted[2, rng.uniform(size=1000) < 0.8] = np.nan
    predicted[1, :5] = 0.0
    return scored(actual.tolist(), *predicted.tolist(), batches=range(0, 1000, 50))


def again(before: Scores, after: Scores, rows: list[int], saved: int) -> None:
    books, kept = json.loads(json.dumps([before.books(), before.kept()]))
    after.restore(books, rows, saved)
    after.restore_kept(kept, rows, saved)
