"""The scorer: predict, score, learn, in this order and no other. All proxies here are fakes."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.settings import ProxyName
from exporter.domain.snapshot import Ground, ProxyView, ScoreView
from exporter.proxy.proxy import Coefficient, Features, Floats, Proxy
from exporter.proxy.scoring.samples import THINNED
from exporter.proxy.scoring.scorer import Scorer

NAMES: tuple[ProxyName, ...] = ("time", "affine_time", "time_share", "tokens", "step_model", "peak")
NOTHING = float("nan")


def seen(seconds: Sequence[float], shared: Sequence[float] | None = None) -> Features:
    """Requests of which only their time matters."""
    column = np.array(seconds, dtype=np.float64)
    blank = np.ones_like(column)
    shares = column if shared is None else np.array(shared, dtype=np.float64)
    return Features(blank, column, column, shares, *[blank] * 6)


def joules(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


class Steady:
    """So many watts, whatever it is told. A row whose time is not known it cannot predict."""

    coefficients: Mapping[str, Coefficient] = {}

    def __init__(self, watts: float) -> None:
        self.watts = watts

    def predict(self, seen: Features) -> Floats:
        return self.watts * seen.seconds

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        """There is nothing to learn."""


class Shared(Steady):
    """So many watts of time corrected for concurrency."""

    def predict(self, seen: Features) -> Floats:
        return self.watts * seen.shared_seconds


class Learned:
    """As many watts as the rows had that it learned; NaN before that."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float]] = []

    def predict(self, seen: Features) -> Floats:
        return seen.seconds * self._watts()

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        assert seconds > 0.0
        self.rows += zip(seen.seconds.tolist(), joules.tolist(), strict=True)

    @property
    def coefficients(self) -> Mapping[str, Coefficient]:
        return {"watts": Coefficient(self._watts(), 0.5)} if self.rows else {}

    def _watts(self) -> float:
        return sum(used for _, used in self.rows) / sum(time for time, _ in self.rows) if self.rows else NOTHING

    def snapshot(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.rows = []
        for time, used in snapshot["rows"]:
            self.rows.append((float(time), float(used)))


class Cheating(Learned):
    """Remembers the energy of everything it was taught, and repeats it when it sees the like again."""

    def predict(self, seen: Features) -> Floats:
        return np.array([dict(self.rows).get(time, 1.0) for time in seen.seconds.tolist()])


class Watched(Steady):
    """Writes down what it is asked and told, and what stood scored at that moment."""

    def __init__(self, diary: list[str]) -> None:
        super().__init__(100.0)
        self.diary = diary
        self.scorer: Scorer | None = None

    def predict(self, seen: Features) -> Floats:
        self.diary.append(f"predict {len(seen)}")
        return super().predict(seen)

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        assert self.scorer is not None
        scored = sum(one.scores["window"].samples for one in self.scorer.views("s", "m"))
        self.diary.append(f"learn {joules.sum():g} J in {len(seen)} times {seconds:g} s, {scored} scored")


def views(scorer: Scorer) -> dict[ProxyName, ProxyView]:
    return {view.proxy: view for view in scorer.views("chat", "llama")}


def score(scorer: Scorer, ground: Ground, proxy: ProxyName = "time") -> ScoreView:
    return views(scorer)[proxy].scores[ground]


def sums(predicted: Mapping[ProxyName, Floats]) -> dict[ProxyName, float]:
    return {name: float(each.sum()) for name, each in predicted.items()}


class TestOrder:
    def test_predictions_come_first_then_the_score_then_the_lesson(self) -> None:
        diary: list[str] = []
        first, second = Watched(diary), Watched(diary)
        first.scorer = second.scorer = scorer = Scorer({"time": first, "peak": second})
        predicted = scorer.settle(seen([1.0, 2.0]), joules(100.0, 200.0), joules(NOTHING, NOTHING))
        assert diary == ["predict 2", "predict 2"]
        scorer.close_window(sums(predicted), seen([1.0, 1.0, 1.0]), joules(100.0, 90.0, 110.0), 5.0)
        assert diary[2:] == ["learn 300 J in 3 times 5 s, 2 scored"] * 2

    def test_settling_teaches_nothing(self) -> None:
        learned = Learned()
        scorer = Scorer({"time": learned})
        for _ in range(5):
            scorer.settle(seen([1.0, 2.0]), joules(100.0, 200.0), joules(100.0, 200.0))
        assert learned.rows == []

    def test_every_row_is_learned_once(self) -> None:
        learned = Learned()
        scorer = Scorer({"time": learned})
        scorer.close_window({}, seen([1.0, 2.0]), joules(10.0, 20.0), 5.0)
        scorer.learn(seen([3.0]), joules(30.0), 5.0)
        scorer.close_window({"time": 4.0}, seen([4.0]), joules(40.0), 5.0)
        assert learned.rows == [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0), (4.0, 40.0)]

    def test_memory_is_no_help_where_the_answer_comes_after_the_question(self) -> None:
        """It will know each window by heart afterwards. What counts is what it said before."""
        scorer, rng = Scorer({"time": Cheating()}), np.random.default_rng(1)
        for seconds in rng.uniform(10.0, 60.0, 50).tolist():
            used = joules(300.0 * seconds)
            predicted = scorer.settle(seen([seconds]), used, used)
            scorer.close_window(sums(predicted), seen([seconds]), used, 60.0)
        for ground in ("request", "isolated", "window"):
            found = score(scorer, ground)
            assert found.samples == 50
            assert found.lifetime["r2"] < 0.0
            assert found.lifetime["mape"] > 0.99

    def test_what_was_learned_shows_in_what_is_predicted_next(self) -> None:
        scorer = Scorer({"time": Learned()})
        scorer.learn(seen([2.0]), joules(600.0), 5.0)
        assert scorer.settle(seen([1.5]), joules(1.0), joules(1.0))["time"].tolist() == [450.0]
        assert views(scorer)["time"].coefficients["watts"].value == 300.0
        scorer.learn(seen([2.0]), joules(200.0), 5.0)
        assert views(scorer)["time"].coefficients["watts"].value == 200.0

    def test_a_proxy_that_raises_is_a_bug_and_not_covered_up(self) -> None:
        class Broken(Steady):
            def predict(self, seen: Features) -> Floats:
                raise RuntimeError(f"a bug, with {len(seen)}")

        with pytest.raises(RuntimeError, match="a bug"):
            Scorer({"time": Broken(1.0)}).settle(seen([1.0]), joules(1.0), joules(1.0))


class TestSettling:
    def test_predictions_come_back_by_proxy(self) -> None:
        scorer = Scorer({"time": Steady(100.0), "peak": Steady(700.0)})
        predicted = scorer.settle(seen([1.0, 2.0]), joules(NOTHING, NOTHING), joules(NOTHING, NOTHING))
        assert {name: each.tolist() for name, each in predicted.items()} == {
            "time": [100.0, 200.0],
            "peak": [700.0, 1400.0],
        }
        assert [views(scorer)[name].predicted_joules for name in predicted] == [300.0, 2100.0]

    def test_what_cannot_be_predicted_is_counted_and_not_scored(self) -> None:
        scorer = Scorer({"time": Steady(100.0), "peak": Steady(700.0)})
        used = joules(90.0, 90.0, 90.0, 90.0)
        predicted = scorer.settle(seen([1.0, NOTHING, float("inf"), -1.0]), used, used)
        view = views(scorer)["time"]
        assert np.isnan(predicted["time"]).tolist() == [False, True, True, True]
        assert (view.unpredicted, view.predicted_joules) == (3, 100.0)
        assert (view.scores["request"].samples, view.scores["isolated"].samples) == (1, 1)

    @pytest.mark.parametrize("used", [NOTHING, 0.0, -5.0, 1e-9, float("inf")])
    def test_without_energy_there_is_nothing_to_score(self, used: float) -> None:
        scorer = Scorer({"time": Steady(100.0)})
        scorer.settle(seen([1.0]), joules(used), joules(used))
        scorer.close_window({"time": 100.0}, seen([1.0]), joules(used), 5.0)
        assert [one.samples for one in views(scorer)["time"].scores.values()] == [0, 0, 0]
        assert views(scorer)["time"].predicted_joules == 100.0

    def test_only_requests_that_ran_alone_are_held_against_the_meter(self) -> None:
        scorer = Scorer({"time": Steady(100.0)})
        scorer.settle(seen([1.0, 1.0, 1.0]), joules(50.0, 50.0, 100.0), joules(NOTHING, NOTHING, 100.0))
        assert (score(scorer, "request").samples, score(scorer, "isolated").samples) == (3, 1)

    def test_one_by_one_is_the_same_as_all_at_once(self) -> None:
        rng = np.random.default_rng(2)
        time, used = rng.gamma(2.0, 3.0, 100), rng.gamma(2.0, 300.0, 100)
        once, each = Scorer({"time": Steady(100.0)}), Scorer({"time": Steady(100.0)})
        once.settle(seen(time.tolist()), used, used)
        for index in range(100):
            each.settle(seen([time[index]]), used[[index]], used[[index]])
        assert score(each, "request").recent == pytest.approx(score(once, "request").recent)
        assert score(each, "request").lifetime == pytest.approx(score(once, "request").lifetime)

    def test_nothing_settles_and_nothing_changes(self) -> None:
        scorer = Scorer({"time": Steady(100.0)})
        before = scorer.books()
        assert scorer.settle(seen([]), joules(), joules())["time"].tolist() == []
        assert scorer.books() == before

    def test_there_may_be_no_proxies(self) -> None:
        scorer = Scorer({})
        assert scorer.settle(seen([1.0]), joules(1.0), joules(1.0)) == {}
        scorer.close_window({}, seen([1.0]), joules(1.0), 5.0)
        assert scorer.views("chat", "llama") == ()
        scorer.restore(scorer.books(), scorer.samples())


class TestWindows:
    def test_sums_of_predictions_are_held_against_all_energy_of_the_window(self) -> None:
        scorer = Scorer({"time": Steady(100.0)})
        for predicted in (200.0, 220.0, 180.0):
            scorer.close_window({"time": predicted}, seen([1.0, 1.0]), joules(80.0, 120.0), 5.0)
        found = score(scorer, "window")
        assert found.samples == 3
        assert found.lifetime["mape"] == pytest.approx(0.2 / 3.0)
        assert found.lifetime["bias"] == pytest.approx(0.0)
        assert found.error_ratio.sum == pytest.approx(3.0)

    @pytest.mark.parametrize("predicted", [{"time": NOTHING, "peak": 1.0}, {"peak": 1.0}])
    def test_one_request_that_could_not_be_predicted_spoils_the_window_for_that_proxy(
        self, predicted: dict[ProxyName, float]
    ) -> None:
        scorer = Scorer({"time": Learned(), "peak": Steady(1.0)})
        scorer.close_window(predicted, seen([1.0]), joules(100.0), 5.0)
        assert (score(scorer, "window").samples, score(scorer, "window", "peak").samples) == (0, 1)
        assert views(scorer)["time"].coefficients

    def test_rows_of_unknown_energy_are_not_learned_and_their_window_not_scored(self) -> None:
        learned = Learned()
        scorer = Scorer({"time": learned})
        scorer.close_window({"time": 100.0}, seen([1.0, 2.0]), joules(NOTHING, 50.0), 5.0)
        scorer.learn(seen([3.0]), joules(NOTHING), 5.0)
        assert learned.rows == [(2.0, 50.0)]
        assert score(scorer, "window").samples == 0


class TestViews:
    def test_a_new_proxy_stands_on_every_ground_with_nothing_to_show(self) -> None:
        (view,) = Scorer({"time": Learned()}).views("chat", "llama")
        assert (view.server, view.model, view.proxy) == ("chat", "llama", "time")
        assert (view.predicted_joules, view.unpredicted, view.coefficients) == (0.0, 0, {})
        assert view.scores.keys() == {"request", "isolated", "window"}
        for found in view.scores.values():
            assert (found.samples, found.recent, found.lifetime, found.drift, found.drifting) == (
                0,
                {},
                {},
                None,
                False,
            )

    def test_they_are_worked_out_again_only_where_something_new_was_scored(self) -> None:
        scorer = Scorer({"time": Steady(100.0)})
        before = views(scorer)["time"].scores
        scorer.close_window({"time": 1.0}, seen([1.0]), joules(1.0), 5.0)
        after = views(scorer)["time"].scores
        assert after["window"].samples == 1
        assert after["request"] is before["request"]

    def test_predictions_that_leave_their_history_drift(self) -> None:
        scorer, rng = Scorer({"time": Steady(100.0), "peak": Steady(100.0)}), np.random.default_rng(3)
        for used in rng.normal(100.0, 5.0, 200).tolist():
            scorer.close_window({"time": 100.0, "peak": 100.0}, seen([1.0]), joules(used), 5.0)
        assert not score(scorer, "window").drifting
        for used in rng.normal(100.0, 5.0, 12).tolist():
            scorer.close_window({"time": 140.0, "peak": 100.0}, seen([1.0]), joules(used), 5.0)
        assert score(scorer, "window").drifting
        assert (score(scorer, "window").drift or 0.0) > 3.0
        assert not score(scorer, "window", "peak").drifting


def test_a_proxy_that_repeats_the_rule_is_perfect_on_shares_and_found_out_by_the_meter() -> None:
    """Shares are given out at 350 W of shared time, and so the proxy predicts. The device draws 200 W and 50 W each."""
    scorer = Scorer({"time_share": Shared(350.0)})
    for company in (1, 2, 4, 8, 1, 3, 6, 1, 5, 7):
        requests = seen([60.0] * company, [60.0 / company] * company)
        drawn = (200.0 + 50.0 * company) * 60.0
        metered = joules(drawn) if company == 1 else np.full(company, np.nan)
        predicted = scorer.settle(requests, np.full(company, 350.0 * 60.0 / company), metered)
        scorer.close_window(sums(predicted), seen([60.0]), joules(drawn), 60.0)
    shares, alone, window = (score(scorer, one, "time_share").lifetime for one in ("request", "isolated", "window"))
    assert shares == pytest.approx({"r2": 1.0, "mape": 0.0, "bias": 0.0, "pearson": 1.0, "spearman": 1.0}, abs=1e-9)
    assert alone == pytest.approx({"mape": 0.4, "bias": 0.4})
    assert window["mape"] > 0.2
    assert window["r2"] < 0.1


def crowd() -> Mapping[ProxyName, Proxy]:
    return {name: Learned() if name == "time" else Steady(50.0 + 20.0 * at) for at, name in enumerate(NAMES)}


def busy(proxies: Mapping[ProxyName, Proxy], count: int = 1000) -> Scorer:
    """A scorer with a past."""
    scorer, rng = Scorer(proxies), np.random.default_rng(4)
    for time in np.array_split(rng.gamma(2.0, 3.0, count), 20):
        used = time * rng.normal(100.0, 20.0, len(time)).clip(1.0)
        predicted = scorer.settle(seen(time.tolist()), used, used)
        for index in range(len(time)):
            one = {name: float(each[index]) for name, each in predicted.items()}
            scorer.close_window(one, seen([1.0]), used[[index]], 5.0)
    return scorer


def through_json(saved: dict[str, Any]) -> dict[str, Any]:
    again: dict[str, Any] = json.loads(json.dumps(saved))
    return again


class TestRestarts:
    def test_it_goes_on_where_it_was(self) -> None:
        before, after = busy(crowd()), Scorer(crowd())
        after.restore(through_json(before.books()), through_json(before.samples()))
        assert after.books() == before.books()
        assert after.samples() == before.samples()
        for then, now in zip(before.views("chat", "llama"), after.views("chat", "llama"), strict=True):
            assert (now.predicted_joules, now.unpredicted) == (then.predicted_joules, then.unpredicted)
            assert now.coefficients == then.coefficients
            for ground, found in then.scores.items():
                assert now.scores[ground].samples == found.samples
                assert now.scores[ground].error_ratio == found.error_ratio
                assert now.scores[ground].recent == pytest.approx(found.recent, rel=2e-3)
                assert now.scores[ground].lifetime == pytest.approx(found.lifetime, rel=2e-3)
                assert now.scores[ground].drift == pytest.approx(found.drift, rel=1e-3)

    def test_what_was_shown_before_it_was_restored_is_not_shown_after(self) -> None:
        after = Scorer(crowd())
        assert score(after, "window").samples == 0
        before = busy(crowd())
        after.restore(before.books(), before.samples())
        assert score(after, "window").samples == score(before, "window").samples > 0
        assert views(after)["time"].coefficients

    def test_without_samples_counts_and_all_time_sums_go_on(self) -> None:
        before, after = busy(crowd()), Scorer(crowd())
        after.restore(before.books(), None)
        then, now = score(before, "window", "peak"), score(after, "window", "peak")
        assert now.samples == then.samples
        assert now.recent == {}
        assert now.lifetime == {name: value for name, value in then.lifetime.items() if name != "spearman"}

    def test_other_proxies_than_before_each_find_their_own_past(self) -> None:
        before = busy(crowd())
        after = Scorer({"peak": Steady(150.0), "time": Learned()})
        after.restore(before.books(), before.samples())
        assert views(after)["time"].coefficients == views(before)["time"].coefficients
        for name in ("peak", "time"):
            then, now = score(before, "window", name), score(after, "window", name)
            assert (now.samples, now.error_ratio) == (then.samples, then.error_ratio)
            assert now.recent == pytest.approx(then.recent, rel=2e-3)
            assert views(after)[name].predicted_joules == views(before)[name].predicted_joules

    def test_a_proxy_that_stumbles_over_its_past_begins_anew(self) -> None:
        learned = Learned()
        books = busy(crowd()).books() | {"learned": {"time": {"rows": [[1.0, 2.0], "nonsense"]}}}
        scorer = Scorer({"time": learned})
        scorer.restore(books, None)
        assert learned.rows == []
        assert views(scorer)["time"].predicted_joules > 0.0

    def test_what_is_saved_is_small(self) -> None:
        scorer = busy(crowd(), count=16 * THINNED)
        assert len(json.dumps(scorer.samples())) < 30_000
        books = scorer.books() | {"learned": {}}
        assert len(json.dumps(books)) < 12_000


JUNK: list[Any] = [None, True, -1, 0, 7, 2**70, 1e300, -1e300, float("nan"), float("inf"), "", "AAAA", [], {}, [1]]
GOOD = busy(crowd(), 400)
BOOKS, SAMPLES = through_json(GOOD.books()), through_json(GOOD.samples())


class TestGarbledState:
    @settings(deadline=None)
    @given(st.randoms(use_true_random=False), st.randoms(use_true_random=False))
    def test_it_never_keeps_a_scorer_from_working(self, here: Random, there: Random) -> None:
        scorer, again = Scorer(crowd()), Scorer(crowd())
        scorer.restore(damaged(BOOKS, here), damaged(SAMPLES, there))
        scorer.settle(seen([1.0, 2.0]), joules(1.0, 2.0), joules(1.0, 2.0))
        scorer.close_window({"peak": 3.0}, seen([1.0]), joules(3.0), 5.0)
        scorer.views("chat", "llama")
        again.restore(through_json(scorer.books()), through_json(scorer.samples()))
        assert again.books() | {"learned": {}} == scorer.books() | {"learned": {}}

    @pytest.mark.parametrize("garbage", [None, [], "books", 7, {}, {"proxies": "time"}, {"proxies": [["time"]]}])
    def test_what_is_no_state_at_all_is_as_good_as_none(self, garbage: Any) -> None:
        scorer = Scorer({"time": Steady(1.0)})
        fresh = scorer.books()
        scorer.restore(garbage, garbage)
        assert scorer.books() == fresh

    def test_one_garbled_part_leaves_the_others_alone(self) -> None:
        books = through_json(BOOKS)
        books["scores"]["window"]["counts"][0][0] += 1
        scorer = Scorer(crowd())
        scorer.restore(books, SAMPLES)
        assert score(scorer, "window").samples == 0
        assert score(scorer, "request").samples == score(GOOD, "request").samples
        assert score(scorer, "window").drift == pytest.approx(score(GOOD, "window").drift, rel=1e-3)


def damaged(saved: dict[str, Any], random: Random) -> Any:
    """State with one place in it, however deep, replaced by junk or gone."""
    whole = through_json(saved)
    place: Any = whole
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or random.random() < 0.1:
            break
        place = place[key]
    if random.random() < 0.3:
        del place[key]
    else:
        place[key] = random.choice(JUNK)
    return whole
