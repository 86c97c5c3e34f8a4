from collections.abc import Sequence
from dataclasses import replace

import pytest

from exporter.domain.readings import Method
from exporter.domain.snapshot import Ground
from exporter.replay.comparison import Kind, Standing, standings_of
from exporter.replay.table import READING, side_by_side
from tests.metrics.examples import model_view, proxy_view, score_view


def standing(kind: Kind, name: str, ground: Ground, samples: int = 3, model: str = "m", **scores: float) -> Standing:
    known = {"mape": 0.25, "bias": -0.5, "r2": 0.875, "pearson": 0.5, "spearman": 1.0, **scores}
    return Standing("chat", model, kind, name, ground, samples, known)  # type: ignore[arg-type]


def cells(lines: Sequence[str], start: str) -> list[str]:
    [line] = [line for line in lines if line.strip().startswith(start)]
    return line.split()[2:]


def test_policies_and_proxies_stand_under_the_same_columns() -> None:
    lines = side_by_side(
        [standing("policy", "time", "request"), standing("proxy", "time", "request", samples=12)], "steps", 60.0
    )
    head, title, policy, proxy = lines[1:5]
    assert head.split() == ["error", "bias", "R2", "Pearson", "Spearman", "n"]
    assert title.strip() == "of all requests: shares by policy steps*"
    assert policy.split() == ["policy", "time", "25.0%", "-50.0%", "0.875", "0.500", "1.000", "3"]
    assert proxy.split() == ["proxy", "time", "25.0%", "-50.0%", "0.875", "0.500", "1.000", "12"]
    assert len(head) == len(policy) == len(proxy)


def test_grounds_come_in_order_with_what_is_metered_first() -> None:
    grounds: tuple[Ground, ...] = ("request", "window", "isolated")
    lines = side_by_side([standing("proxy", "peak", ground) for ground in grounds], "steps", 5.0)
    assert [line.strip() for line in lines if line.startswith("  of")] == [
        "of requests that ran alone: metered",
        "of windows of 5 s: metered",
        "of all requests: shares by policy steps*",
    ]


@pytest.mark.parametrize(
    ("methods", "how"),
    [
        (["measured"], "metered"),
        (["estimated"], "estimated"),
        (["simulated"], "simulated"),
        (["measured", "estimated"], "metered and estimated"),
        (["measured", "time_proxy"], "metered"),
    ],
)
def test_only_what_a_sensor_said_is_called_metered(methods: Sequence[Method], how: str) -> None:
    [histogram] = model_view().energy.values()
    models = [
        replace(model_view(model="m"), energy=dict.fromkeys(methods, histogram)),
        model_view(model="another"),
    ]
    standings = [standing("proxy", "peak", "isolated"), standing("proxy", "peak", "window")]
    lines = side_by_side(standings, "steps", 60.0, models)
    assert [line.strip() for line in lines if line.startswith("  of")] == [
        f"of requests that ran alone: {how}",
        f"of windows of 60 s: {how}",
    ]


def test_a_score_that_is_not_defined_is_a_dash_and_a_perfect_one_is_a_score() -> None:
    known = Standing("chat", "m", "proxy", "peak", "window", 0, {"mape": 0.0, "r2": 0.0})
    assert cells(side_by_side([known], "steps", 60.0), "proxy peak") == ["0.0%", "-", "0.000", "-", "-", "0"]


def test_a_hopeless_score_loses_the_digits_that_say_nothing() -> None:
    wild = standing("proxy", "peak", "window", mape=5600.0, bias=250.0, r2=-2_345_678.0)
    assert cells(side_by_side([wild], "steps", 60.0), "proxy peak")[:3] == ["5600x", "+250x", "-2e+06"]


def test_every_model_has_its_own_table() -> None:
    lines = side_by_side([standing("proxy", "peak", "window", model=model) for model in ("a", "b")], "steps", 60.0)
    assert [line for line in lines if line.endswith("on chat")] == ["a on chat", "b on chat"]


def test_what_the_star_means_is_said() -> None:
    assert "not metered" in " ".join(READING)
    assert side_by_side([standing("proxy", "peak", "window")], "steps", 60.0)[-len(READING) :] == list(READING)


def test_without_anything_to_compare_it_says_so() -> None:
    assert side_by_side([], "steps", 60.0) == ["Nothing has settled: there is nothing to compare."]


def test_proxies_are_shown_by_their_scores_over_all_time() -> None:
    view = proxy_view("time", isolated=score_view(7, mape=0.1))
    standings = {one.ground: one for one in standings_of([view])}
    assert standings["isolated"].samples == 7
    assert standings["isolated"].scores == view.scores["isolated"].lifetime
    assert {one.kind for one in standings.values()} == {"proxy"}


def test_no_line_is_wider_than_a_hundred_columns() -> None:
    wild = standing("proxy", "affine_time", "isolated", samples=99_999_999, mape=99.0, bias=-99.0, r2=-99.0)
    lines = side_by_side([wild, standing("policy", "tokens", "request")], "tokens", 1234.5)
    assert max(map(len, lines[: -len(READING)])) <= 100
