"""Told again from its recording, a pipeline says the same: equality here is ==, never "about"."""

import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.attribution.policies import POLICIES
from exporter.domain.settings import AttributionSettings, PolicyName
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import Instant
from exporter.pipeline.pipeline import Pipeline
from exporter.proxy.calibration.calibration import Machine
from exporter.recording.format import Ticks
from exporter.simulate.load import MIXED
from tests.pipeline.telling import SERVER, counters, gpus, hear, settings, tell
from tests.properties import PROPERTIES, tales
from tests.recording.recorded import lines, recorded, replayed
from tests.simulation.hearing import Sight, events
from tests.simulation.scenarios import Scenario, poisson_run

POLICY_NAMES: tuple[PolicyName, ...] = ("time", "tokens", "steps")


@dataclass
class Diary:
    """What a pipeline said and would have saved, whenever it was asked."""

    snapshots: list[Snapshot] = field(default_factory=list)
    checkpoints: list[dict[str, bytes | None]] = field(default_factory=list)

    def write(self, pipeline: Pipeline, now: Instant) -> None:
        self.snapshots.append(pipeline.snapshot(now))
        self.checkpoints.append(pipeline.checkpoint(set()))


@pytest.mark.parametrize("policy", POLICY_NAMES)
@pytest.mark.parametrize("sight", [Sight(), Sight(whole=True, delay_seconds=0.7)], ids=["parts", "whole"])
def test_a_session_comes_out_the_same_at_every_moment(tmp_path: Path, policy: PolicyName, sight: Sight) -> None:
    run = poisson_run(Scenario(mix=MIXED, abort_fraction=0.1), np.random.default_rng(5), rate=2.0, seconds=90.0)
    live, again = Diary(), Diary()
    wanted = settings(attribution=AttributionSettings(policy=policy, horizon_seconds=40.0))
    with recorded(tmp_path / "r", wanted, gpus(1), run.begin) as pipeline:
        told = (counters(run), hear(events(run, sight)))
        end = Instant(run.end + 20.0)
        tell(pipeline, *told, begin=run.begin, end=end, watch=lambda now: live.write(pipeline, Instant(now)))
    replayed(tmp_path / "r", again.write)
    assert len(live.snapshots) > 100
    assert live.snapshots[-1].recent
    assert again == live


@PROPERTIES
@given(tale=tales.tales(), policy=st.sampled_from(sorted(POLICIES)))
def test_any_tale_comes_out_the_same(tale: tales.Tale, policy: PolicyName) -> None:
    live, again = Diary(), Diary()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r"
        with recorded(path, tales.a_pipeline(policy).settings) as pipeline:
            for one in [*tale, tales.Happening(tale[-1].at + 1.0)]:
                tales.tell(pipeline, one)
                if one.reading is None and one.event is None and one.gauge is None:
                    live.write(pipeline, Instant(tales.BEGIN + one.at))
            pipeline.finish(Instant(tales.BEGIN + tale[-1].at + 2.0))
            live.write(pipeline, Instant(tales.BEGIN + tale[-1].at + 2.0))
        replayed(path, again.write)
    assert again == live


@PROPERTIES
@given(tale=tales.tales())
def test_recording_changes_nothing(tale: tales.Tale) -> None:
    plain = tales.a_pipeline()
    with tempfile.TemporaryDirectory() as folder, recorded(Path(folder) / "r") as pipeline:
        for one in tale:
            tales.tell(plain, one)
            tales.tell(pipeline, one)
        end = Instant(tales.BEGIN + tale[-1].at)
        assert pipeline.snapshot(end) == plain.snapshot(end)
        assert pipeline.checkpoint(set()) == plain.checkpoint(set())


def test_progress_between_two_advances_does_not_matter_and_is_not_kept(tmp_path: Path) -> None:
    begin = tales.BEGIN
    with recorded(tmp_path / "r") as pipeline:
        for tenth in range(1, 40):
            for server in tales.SERVERS:
                pipeline.receive_progress(server, Instant(begin + tenth / 10))
            if tenth % 10 == 0:
                pipeline.advance(Instant(begin + tenth / 10))
    assert len(lines(tmp_path / "r")) == 1 + 3 + 1
    assert replayed(tmp_path / "r").servers["chat"].heard_until == begin + 3.0


def test_books_of_an_earlier_process_go_into_the_recording(tmp_path: Path) -> None:
    run = poisson_run(Scenario(), np.random.default_rng(5), rate=1.0, seconds=40.0)
    told = [*counters(run, until=run.end), *hear(events(run))]
    told.sort(key=lambda one: one.at)
    half = Instant(run.begin + 20.0)
    first = Pipeline(settings(), gpus(1), run.begin)
    tell(first, [one for one in told if one.at <= half], begin=run.begin, end=half)
    saved: dict[str, bytes] = {key: value for key, value in first.checkpoint(set()).items() if value is not None}
    with recorded(tmp_path / "r", settings(), gpus(1), half) as pipeline:
        pipeline.restore(saved)
        tell(pipeline, [one for one in told if one.at > half], begin=half, end=run.end)
        end = pipeline.snapshot(run.end)
    assert end.devices[0].metered_joules > 1.5 * first.snapshot(half).devices[0].metered_joules
    assert replayed(tmp_path / "r").snapshot(run.end) == end


def test_estimates_from_a_calibration_come_out_the_same(tmp_path: Path) -> None:
    run = poisson_run(Scenario(), np.random.default_rng(5), rate=1.0, seconds=240.0)
    metered = Pipeline(settings(), gpus(1), run.begin)
    tell(metered, counters(run), hear(events(run)), begin=run.begin, end=Instant(run.end + 10.0))
    [calibration] = metered.calibrations("2026-11-21T00:00:00+00:00", Machine())[SERVER]
    with recorded(tmp_path / "r", settings(), (), run.begin, {SERVER: calibration}) as pipeline:
        tell(pipeline, hear(events(run)), begin=run.begin, end=Instant(run.end + 10.0))
        end = pipeline.snapshot(run.end)
    assert {one.method for one in end.recent} == {"time_proxy"}
    assert replayed(tmp_path / "r").snapshot(run.end) == end


@given(
    since=st.floats(0.0, 2.2e9),
    instant=st.floats(allow_nan=False, allow_infinity=False) | st.floats(1.7e9, 1.9e9) | st.integers(0, 10).map(float),
)
def test_every_instant_survives(since: float, instant: float) -> None:
    ticks = Ticks(since)
    assert ticks.read(ticks.written(Instant(instant))) == instant


@given(at=st.floats(1.1e9, 2.1e9), seconds=st.floats(-1000.0, 1000.0))
def test_instants_of_our_time_are_whole_ticks(at: float, seconds: float) -> None:
    assert type(Ticks(at).written(Instant(at + seconds))) is int


@pytest.mark.parametrize("instant", [math.inf, -math.inf])
def test_an_instant_that_is_none_survives_too(instant: float) -> None:
    ticks = Ticks(1.8e9)
    assert ticks.read(ticks.written(Instant(instant))) == instant
