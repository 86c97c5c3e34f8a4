"""Clients come as often as the pattern says, and as the seed decides."""

from itertools import takewhile

import numpy as np
import pytest

from exporter.simulate.arrivals import PATTERNS, Pattern, arrivals, rate_for
from exporter.simulate.engine import CHUNKED, Engine
from exporter.simulate.load import Request
from exporter.simulate.physics import FITS, Fit, served


def those_until(pattern: Pattern, seconds: float, seed: int = 1) -> list[Request]:
    return list(takewhile(lambda one: one.at < seconds, arrivals(pattern, np.random.default_rng(seed))))


@pytest.mark.parametrize("name", [name for name in PATTERNS if name != "none"])
def test_on_average_the_rate_is_kept_and_arrivals_ascend(name: str) -> None:
    came = those_until(Pattern(name, 5.0, day_seconds=100.0), 400.0)  # type: ignore[arg-type]
    assert len(came) / 400.0 == pytest.approx(5.0, rel=0.1)
    assert [one.at for one in came] == sorted(one.at for one in came)
    assert len({one.id for one in came}) == len(came)


def test_nothing_comes_where_nothing_shall() -> None:
    assert those_until(Pattern("none", 5.0), 100.0) == []
    assert those_until(Pattern("steady", 0.0), 100.0) == []


def test_a_burst_comes_at_once() -> None:
    came = those_until(Pattern("bursts", 5.0), 200.0)
    assert sum(one.at % 20.0 < 1.0 for one in came) / len(came) == pytest.approx(0.7, abs=0.07)


def test_a_day_has_a_night() -> None:
    came = those_until(Pattern("diurnal", 5.0, day_seconds=100.0), 1000.0)
    night = sum(abs(one.at % 100.0 - 50.0) > 40.0 for one in came)
    noon = sum(abs(one.at % 100.0 - 50.0) < 10.0 for one in came)
    assert noon > 5 * night


def test_the_seed_alone_decides() -> None:
    pattern = Pattern("steady", 5.0)
    assert those_until(pattern, 20.0) == those_until(pattern, 20.0)
    assert those_until(pattern, 20.0) != those_until(pattern, 20.0, seed=2)


def test_some_hang_up_and_most_stream() -> None:
    came = those_until(Pattern("steady", 20.0), 200.0)
    assert 0.01 < sum(one.leaves_after_tokens is not None for one in came) / len(came) < 0.06
    assert 0.75 < sum(one.stream for one in came) / len(came) < 0.85


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.model)
@pytest.mark.parametrize("batch", [1.0, 16.0])
def test_a_wanted_batch_is_about_what_runs(fit: Fit, batch: float) -> None:
    physics, seconds = served(fit), 400.0
    engine = Engine(physics, CHUNKED, np.random.default_rng(1))
    for one in those_until(Pattern("steady", rate_for(physics, batch)), seconds):
        engine.submit(one, one.at)
    engine.advance(seconds)
    mean = sum(step.members * (step.end - step.start) for step in engine.begun) / seconds
    assert mean == pytest.approx(batch, rel=0.2)
