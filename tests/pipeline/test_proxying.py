"""Proxies in the pipeline: what they may know, which windows count, and that a restart takes nothing away."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from math import isnan

import numpy as np
import pytest

from exporter.domain.events import Completed
from exporter.domain.readings import CounterReading, Device, ReadFailure, worst_method
from exporter.domain.settings import ProxyName, RequestSettings, ScoringSettings, ServerSettings, Settings
from exporter.domain.snapshot import Ground, ProxyView, ScoreName, ScoreView, SettledRequest
from exporter.domain.units import Instant, Joules, later
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.calibration.calibration import Calibration, Machine
from exporter.simulate.batching import Run
from tests.pipeline.telling import AFTER_SECONDS, SERVER, Told, counters, gpus, hear, settings, tell
from tests.simulation.hearing import Sight, events
from tests.simulation.scenarios import Scenario, batch_run, isolated_run

MACHINE = Machine("linux", "0")


def scored_in_windows_of(seconds: float) -> Settings:
    return replace(settings(), scoring=ScoringSettings(window_seconds=seconds))


@cache
def alone() -> Run:
    return isolated_run(Scenario(), 3, count=40)


@cache
def crowd() -> Run:
    return batch_run(Scenario(), 3, mean_batch=4.0, seconds=240.0)


def watch(
    run: Run, *others: Iterable[Told], chosen: Settings | None = None, devices: tuple[Device, ...] | None = None
) -> tuple[Pipeline, list[SettledRequest]]:
    pipeline = Pipeline(chosen or scored_in_windows_of(20.0), devices or gpus(1), run.begin)
    end = later(run.end, AFTER_SECONDS)
    settled = tell(pipeline, counters(run, until=end), hear(events(run)), *others, begin=run.begin, end=end)
    return pipeline, settled


@cache
def watched(story: Callable[[], Run]) -> tuple[Pipeline, list[SettledRequest]]:
    """As `watch`, once for all: nothing is told to this pipeline any more."""
    return watch(story())


def views(pipeline: Pipeline) -> dict[str, ProxyView]:
    found = pipeline.snapshot(Instant(pipeline.watermark)).proxies
    return {view.proxy: view for view in found if view.server == SERVER}


def calibration_of(pipeline: Pipeline) -> Calibration:
    (only,) = pipeline.calibrations("2026-11-21T00:00:00+00:00", MACHINE)[SERVER]
    return only


def samples(pipeline: Pipeline, ground: Ground, proxy: str = "time_share") -> int:
    return views(pipeline)[proxy].scores[ground].samples


# --- grounds -------------------------------------------------------------------------------------------------------


def test_requests_that_run_alone_are_metered_as_the_truth_has_it() -> None:
    _, settled = watched(alone)
    truth = {one.id: one.joules for one in alone().served}
    metered = [(one.metered_joules, truth[one.id]) for one in settled if one.metered_joules is not None]
    assert len(metered) > 20
    for joules, true in metered:
        assert joules == pytest.approx(true, rel=0.02)


def test_a_request_too_short_for_the_sensor_is_not_metered() -> None:
    _, settled = watched(alone)
    short = [one for one in settled if one.end - one.start < 0.9]
    assert all(one.metered_joules is None for one in short)


def test_in_a_crowd_nobody_is_metered_but_windows_are() -> None:
    pipeline, settled = watched(crowd)
    crowded = [one for one in settled if one.concurrency > 1.5]
    assert len(crowded) > 100
    assert all(one.metered_joules is None for one in crowded)
    assert samples(pipeline, "window") >= 8


def test_what_windows_were_metered_at_is_the_energy_of_the_run() -> None:
    pipeline, _ = watched(crowd)
    assert abs(views(pipeline)["step_model"].scores["window"].lifetime["bias"]) < 0.03


def test_a_proxy_is_silent_before_the_first_window_and_every_request_counts_as_unpredicted_until_then() -> None:
    pipeline, settled = watched(crowd)
    view = views(pipeline)["time"]
    assert not settled[0].predicted
    assert "time" in settled[-1].predicted
    assert view.unpredicted + sum("time" in one.predicted for one in settled) == len(settled)
    assert view.predicted_joules == pytest.approx(sum(one.predicted.get("time", 0.0) for one in settled))


def test_a_prediction_knows_nothing_of_what_was_metered_during_its_life() -> None:
    """Were the meter to say something else from some moment on, predictions of all who started before stay the same."""
    run = crowd()
    moment = later(run.begin, 120.0)

    def rigged(readings: Iterable[Told]) -> Iterable[Told]:
        for one in readings:
            reading = one.reading
            assert isinstance(reading, CounterReading)
            extra = max(one.at - moment, 0.0) * 2000.0
            yield Told(one.at, reading=replace(reading, joules=Joules(reading.joules + extra)))

    def predicted(readings: Iterable[Told]) -> dict[str, Mapping[ProxyName, Joules]]:
        pipeline = Pipeline(scored_in_windows_of(20.0), gpus(1), run.begin)
        end = later(run.end, AFTER_SECONDS)
        settled = tell(pipeline, readings, hear(events(run)), begin=run.begin, end=end)
        return {one.id: one.predicted for one in settled if one.start < moment}

    assert predicted(counters(run, until=run.end)) == predicted(rigged(counters(run, until=run.end)))


# --- windows that do not count --------------------------------------------------------------------------------------


def test_windows_with_a_hole_in_the_readings_are_left_out() -> None:
    run = crowd()
    hole = (run.begin + 100.0, run.begin + 130.0)
    readings = (one for one in counters(run, until=run.end + AFTER_SECONDS) if not hole[0] < one.at < hole[1])
    failures = (Told(Instant(at), reading=ReadFailure("gpu0", Instant(at), "gpu_is_lost")) for at in np.arange(*hole))
    pipeline = Pipeline(scored_in_windows_of(20.0), gpus(1), run.begin)
    end = later(run.end, AFTER_SECONDS)
    tell(pipeline, readings, failures, hear(events(run)), begin=run.begin, end=end)
    whole, _ = watched(crowd)
    assert 2 <= samples(whole, "window") - samples(pipeline, "window") <= 4


def test_windows_in_which_another_server_ran_on_the_same_device_are_left_out() -> None:
    run = crowd()
    both = replace(settings(SERVER, "other"), scoring=ScoringSettings(20.0))
    start = later(run.begin, 120.0)
    stranger = Told(later(start, 70.0), event=Completed("x", start, later(start, 65.0)), server="other")
    pipeline, _ = watch(run, [stranger], chosen=both)
    undisturbed, _ = watch(run, chosen=both)
    assert 3 <= samples(undisturbed, "window") - samples(pipeline, "window") <= 5


def test_windows_in_which_two_models_ran_count_for_neither() -> None:
    run = crowd()
    start = later(run.begin, 120.0)
    adapter = Completed("lora", start, later(start, 65.0), model="adapter", prompt_tokens=10, output_tokens=900)
    pipeline, _ = watch(run, [Told(later(start, 66.0), event=adapter)])
    undisturbed, _ = watched(crowd)
    by_model = {view.model: view for view in pipeline.snapshot(run.end).proxies if view.proxy == "time_share"}
    lost = samples(undisturbed, "window") - by_model[run.physics.model].scores["window"].samples
    assert by_model["adapter"].scores["window"].samples == 0
    assert 3 <= lost <= 5


def test_windows_with_somebody_in_them_of_whom_nothing_is_known_are_left_out() -> None:
    run = crowd()
    lost = {one.id for one in run.served if 60.0 < one.end - run.begin < 100.0}
    pipeline = Pipeline(scored_in_windows_of(20.0), gpus(1), run.begin)
    end = later(run.end, 400.0)
    heard = (
        one
        for one in hear(events(run))
        if one.event is not None and not (_ends(one) and one.event.id in lost)  # type: ignore[union-attr]
    )
    tell(pipeline, counters(run, until=end), heard, begin=run.begin, end=end)
    whole, _ = watched(crowd)
    assert samples(pipeline, "window") <= samples(whole, "window") - 2


def _ends(one: Told) -> bool:
    return type(one.event).__name__ == "Ended"


def test_without_tokens_only_those_that_need_none_predict() -> None:
    run = crowd()
    pipeline = Pipeline(scored_in_windows_of(20.0), gpus(1), run.begin)
    end = later(run.end, AFTER_SECONDS)
    tell(pipeline, counters(run, until=end), hear(events(run, Sight(tokens=False))), begin=run.begin, end=end)
    counted = {name: view.scores["window"].samples for name, view in views(pipeline).items()}
    assert counted["time_share"] > 5
    assert counted["tokens"] == counted["step_model"] == 0


def test_peak_predicts_where_the_board_tells_its_limit() -> None:
    pipeline, settled = watch(crowd(), devices=gpus(1, limit_watts=700.0))
    told = settled[0]
    assert told.predicted["peak"] == pytest.approx(700.0 * (told.end - told.start + told.queued_seconds))
    assert views(pipeline)["peak"].scores["window"].lifetime["bias"] > 1.0


def test_only_so_many_models_have_proxies_and_the_others_are_counted() -> None:
    pipeline = Pipeline(settings(), gpus(1), Instant(1000.0))
    for index in range(30):
        start = Instant(1001.0 + index)
        pipeline.receive_event(SERVER, Completed(str(index), start, later(start, 0.5), model=f"m{index}"), start)
    pipeline.finish(Instant(1100.0))
    snapshot = pipeline.snapshot(Instant(1100.0))
    assert len({view.model for view in snapshot.proxies}) == 20
    assert snapshot.label_overflows["proxy"] == 10


# --- restarts -------------------------------------------------------------------------------------------------------


def restarted(pipeline: Pipeline, run: Run) -> Pipeline:
    store = {key: value for key, value in pipeline.checkpoint(set(), last=True).items() if value is not None}
    again = Pipeline(scored_in_windows_of(20.0), gpus(1), run.end)
    again.restore(store)
    return again


def exact(score: ScoreView) -> dict[ScoreName, float]:
    """All-time scores that are kept to the last bit; ranks come from samples, which are kept to three digits."""
    return {name: value for name, value in score.lifetime.items() if name != "spearman"}


def test_a_restart_keeps_scores_coefficients_and_calibrations() -> None:
    pipeline, _ = watched(crowd)
    again = restarted(pipeline, crowd())
    before, after = views(pipeline), views(again)
    for name, view in before.items():
        assert after[name].coefficients == view.coefficients
        assert after[name].predicted_joules == view.predicted_joules
        for ground, score in view.scores.items():
            assert after[name].scores[ground].samples == score.samples
            assert exact(after[name].scores[ground]) == pytest.approx(exact(score))
            assert after[name].scores[ground].recent == pytest.approx(score.recent, rel=1e-2, abs=0.02)
    old, new = calibration_of(pipeline), calibration_of(again)
    assert new.key == old.key
    assert new.proxies["step_model"].coefficients == old.proxies["step_model"].coefficients


def test_a_window_is_never_learned_twice_across_a_restart() -> None:
    pipeline, _ = watched(crowd)
    again = restarted(pipeline, crowd())
    again.advance(later(crowd().end, AFTER_SECONDS + 1.0))
    assert views(again)["time"].coefficients == views(pipeline)["time"].coefficients
    assert samples(again, "window") == samples(pipeline, "window")


def test_a_checkpoint_of_before_there_were_proxies_is_gone_on_from() -> None:
    pipeline, _ = watched(crowd)
    store = {key: value for key, value in pipeline.checkpoint(set(), last=True).items() if value is not None}
    whole = json.loads(store["pipeline"])
    for server in whole["servers"].values():
        del server["proxies"]
    store["pipeline"] = json.dumps(whole).encode()
    del store["samples"]
    again = Pipeline(scored_in_windows_of(20.0), gpus(1), crowd().end)
    again.restore(store)
    assert again.snapshot(crowd().end).models[0].requests == pipeline.snapshot(crowd().end).models[0].requests


# --- where nothing is metered ----------------------------------------------------------------------------------------


def test_a_calibrated_server_that_nothing_meters_has_estimates_with_intervals() -> None:
    teacher, _ = watched(crowd)
    calibration = calibration_of(teacher)
    run = batch_run(Scenario(), 4, mean_batch=4.0, seconds=60.0)
    pipeline = Pipeline(settings(), (), run.begin, calibrations={SERVER: calibration})
    settled = tell(pipeline, hear(events(run)), begin=run.begin, end=later(run.end, AFTER_SECONDS))
    assert len(settled) == len(run.served)
    assert {one.method for one in settled} == {"time_proxy"}
    for one in settled:
        assert one.interval is not None
        assert one.interval[0] < one.joules < one.interval[1]
    total = sum(one.joules for one in settled)
    assert total == pytest.approx(run.busy_joules, rel=0.05)
    model = pipeline.snapshot(run.end).models[0]
    assert set(model.energy) == {"time_proxy"}
    assert sum(model.phase_joules.values()) == 0.0


def test_without_a_calibration_such_a_server_counts_requests_and_claims_no_energy() -> None:
    run = crowd()
    pipeline = Pipeline(settings(), (), run.begin)
    settled = tell(pipeline, hear(events(run)), begin=run.begin, end=later(run.end, AFTER_SECONDS))
    model = pipeline.snapshot(run.end).models[0]
    assert len(settled) == len(run.served)
    assert all(isnan(one.joules) for one in settled)
    assert model.energy == {}
    assert sum(model.requests.values()) == len(run.served)


def test_a_calibration_of_a_metered_server_is_not_asked() -> None:
    teacher, _ = watched(crowd)
    calibration = calibration_of(teacher)
    run = crowd()
    pipeline = Pipeline(settings(), gpus(1), run.begin, calibrations={SERVER: calibration})
    settled = tell(
        pipeline, counters(run, until=run.end), hear(events(run)), begin=run.begin, end=later(run.end, AFTER_SECONDS)
    )
    assert {one.method for one in settled} == {"measured"}


def test_a_calibration_says_of_what_it_is() -> None:
    named = replace(
        settings(),
        servers=(ServerSettings(SERVER, (RequestSettings("jsonl"),), about={"engine": "vllm 0.32", "dtype": "bf16"}),),
    )
    device = Device("gpu0", "gpu", "GPU-0", "H100", has_counter=True, driver="570.1", power_limit_watts=600.0)
    pipeline, _ = watch(crowd(), chosen=named, devices=(device,))
    calibration = calibration_of(pipeline)
    key = calibration.key
    assert (key.model, key.gpu, key.gpus, key.engine) == (crowd().physics.model, "H100", 1, "vllm 0.32")
    assert (key.dtype, key.driver, key.power_limit_watts) == ("bf16", "570.1", 600.0)
    assert calibration.method == "measured"


def test_what_mixes_methods_is_called_by_the_worst() -> None:
    measured, estimated, simulated = (
        Device(f"gpu{index}", "gpu", method=method)  # type: ignore[arg-type] # each is one of them
        for index, method in enumerate(("measured", "estimated", "simulated"))
    )
    assert worst_method([measured]) == "measured"
    assert worst_method([measured, estimated]) == "estimated"
    assert worst_method([measured, simulated, estimated]) == "simulated"
