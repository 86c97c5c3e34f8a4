"""What a request that has just ended may have used."""

from functools import cache

import pytest

from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import later
from exporter.pipeline.foretelling import Ended
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.server import Server
from tests.pipeline.telling import AFTER_SECONDS, SERVER, counters, gpus, hear, settings, tell
from tests.pipeline.test_proxying import calibration_of, scored_in_windows_of
from tests.simulation.hearing import events
from tests.simulation.scenarios import Scenario, isolated_run


@cache
def told() -> tuple[Pipeline, list[SettledRequest]]:
    run = isolated_run(Scenario(), 3, count=40)
    pipeline = Pipeline(scored_in_windows_of(20.0), gpus(1), run.begin)
    end = later(run.end, AFTER_SECONDS)
    return pipeline, tell(pipeline, counters(run, until=end), hear(events(run)), begin=run.begin, end=end)


def server() -> Server:
    return told()[0].servers[SERVER]


def ended(one: SettledRequest) -> Ended:
    return Ended(one.model, one.end - one.start, one.prompt_tokens, one.output_tokens)


def test_it_is_near_what_was_metered_of_requests_that_ran_alone() -> None:
    known = [one for one in told()[1] if one.metered_joules]
    errors = [
        abs(found.joules / one.metered_joules - 1.0)
        for one in known
        if one.metered_joules and (found := server().foretell(ended(one)))
    ]
    assert len(errors) == len(known) > 20
    assert sorted(errors)[len(errors) // 2] < 0.1


def test_the_proxy_that_has_been_off_the_least_speaks_and_never_the_headline() -> None:
    found = server().foretell(ended(told()[1][0]))
    best = min(
        (view for view in server().proxying.views() if view.proxy != "peak" and view.scores["window"].recent),
        key=lambda view: view.scores["window"].recent["mape"],
    )
    assert found is not None
    assert found.proxy == best.proxy != "peak"


def test_what_it_needs_and_is_not_told_leaves_it_silent() -> None:
    scorer = next(iter(server().proxying.students.values())).scorer
    assert scorer.best() in ("step_model", "tokens")
    assert server().foretell(Ended(None, 2.0)) is None


def test_a_model_by_another_name_is_the_only_one_there_is() -> None:
    assert server().foretell(Ended("as-the-client-calls-it", 2.0, 100, 50)) is not None


def test_before_anything_is_learned_nothing_is_said() -> None:
    fresh = Pipeline(settings(), gpus(1), told()[1][0].start)
    assert fresh.servers[SERVER].foretell(Ended(None, 2.0, 100, 50)) is None


def test_a_calibration_speaks_where_nothing_is_metered() -> None:
    calibration = calibration_of(told()[0])
    unmetered = Pipeline(settings(), (), told()[1][0].start, calibrations={SERVER: calibration})
    one = next(one for one in told()[1] if one.metered_joules)
    found = unmetered.servers[SERVER].foretell(ended(one))
    assert found is not None
    assert found.joules == pytest.approx(one.metered_joules, rel=0.25)
