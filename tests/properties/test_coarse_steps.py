"""Steps of slow counters: whatever is told, the books balance; and whoever ran alone has what was used meanwhile."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Ended, RequestEvent, Started
from exporter.domain.readings import CounterReading, Device, PowerReading, Reading
from exporter.domain.settings import (
    AttributionSettings,
    IdleRule,
    PolicyName,
    PowerSettings,
    RequestSettings,
    ServerSettings,
    Settings,
)
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.pipeline.pipeline import Pipeline
from tests.pipeline.telling import Told, imbalance
from tests.pipeline.test_coarse import BUSY, IDLE, Span, a_pipeline, at, counter, run
from tests.properties import PROPERTIES

BEGIN = Instant(1_795_234_620.0)
SECONDS = 90.0
SERVERS = {"chat": ("0", "1"), "code": ("1",)}
BOARDS = 2


def _pipeline(story: "Story", idle: IdleRule, policy: PolicyName, since: float = 0.0) -> Pipeline:
    """Two servers, one of which shares a board with the other."""
    servers = tuple(ServerSettings(name, (RequestSettings("jsonl"),), gpus=gpus) for name, gpus in SERVERS.items())
    rules = AttributionSettings(policy=policy, idle=idle, horizon_seconds=40.0)
    power = PowerSettings(idle_watts={f"gpu{index}": story.baseline for index in range(BOARDS)})
    boards = [
        Device(f"gpu{index}", "gpu", uuid=f"GPU-{index}", has_counter=True, limit_watts=700.0, period_seconds=period)
        for index, period in enumerate(story.periods)
    ]
    return Pipeline(Settings(servers=servers, attribution=rules, power=power), boards, later(BEGIN, since))


@dataclass(frozen=True, slots=True)
class Story:
    """Boards of any load behind slow counters with holes and resets; requests of any length, told of at any time."""

    seed: int
    periods: tuple[float, ...]
    baseline: float
    lag: float
    trouble: float
    leap: float

    def told(self) -> Iterator[tuple[float, str, Reading | RequestEvent]]:
        """What is told when, and by which server, in order."""
        rng = np.random.default_rng(self.seed)
        tale = [*self._readings(rng), *self._news(rng)]
        leapt = [(each + self.leap * (each > 0.7 * SECONDS), server, what) for each, server, what in tale]
        yield from sorted(leapt, key=lambda one: one[0])

    def _readings(self, rng: np.random.Generator) -> Iterator[tuple[float, str, Reading]]:
        for index, period in enumerate(self.periods):
            polls = np.arange(rng.uniform(0.0, 0.5), SECONDS, 0.45)
            joules = np.cumsum(rng.choice([20.0, 80.0, 300.0, 690.0], len(polls)) * 0.45)
            joules[np.searchsorted(polls, SECONDS * rng.uniform(0.5, 3.0)) :] *= 0.1
            steps = np.floor(polls / period) * period
            hole = rng.uniform(0.0, SECONDS) if rng.random() < self.trouble else 1e9
            for poll, step in zip(polls.tolist(), steps.tolist(), strict=True):
                value = joules[np.searchsorted(polls, step)]
                heard = self._instant(poll)
                if not hole < poll < hole + 9.0:
                    yield poll, "", CounterReading(f"gpu{index}", heard, Joules(float(value)))
                    yield poll, "", PowerReading(f"gpu{index}", heard, Watts(100.0))

    def _news(self, rng: np.random.Generator) -> Iterator[tuple[float, str, RequestEvent]]:
        for number, start in enumerate(np.sort(rng.uniform(0.0, SECONDS, rng.integers(1, 14))).tolist()):
            end, server = start + float(rng.choice([0.02, 0.7, 4.0, 15.0])), str(rng.choice([*SERVERS]))
            late = 25.0 * rng.random() * (rng.random() < self.trouble)
            name = f"{number}"
            if rng.random() < 0.5:
                yield end + late, server, Completed(name, self._instant(start), self._instant(end), output_tokens=50)
                continue
            yield start + late, server, Started(name, self._instant(start))
            if rng.random() > 0.3 * self.trouble:
                yield end + late, server, Ended(name, self._instant(end), output_tokens=50)

    def _instant(self, seconds: float) -> Instant:
        return later(BEGIN, seconds + self.leap * (seconds > 0.7 * SECONDS))


_stories = st.builds(
    Story,
    seed=st.integers(0, 10_000),
    periods=st.tuples(st.sampled_from([1.0, 5.0, 12.0]), st.sampled_from([1.0, 7.0, 30.0])),
    baseline=st.sampled_from([0.0, 60.0, 200.0, 500.0]),
    lag=st.sampled_from([0.0, 5.0, 60.0]),
    trouble=st.sampled_from([0.0, 0.5, 1.0]),
    leap=st.sampled_from([0.0, 0.0, 35.0, 500.0]),
)


def _check_books(pipeline: Pipeline, now: Instant) -> None:
    snapshot = pipeline.snapshot(now)
    assert imbalance(snapshot) < 1e-9
    for view in snapshot.devices:
        assert min(view.unsettled_joules, *view.booked.values()) >= -1e-9 * max(view.metered_joules, 1.0)
    assert all(min(one.joules_by_device.values()) >= 0.0 for one in snapshot.recent)
    assert min(float(group.slices.left.min()) for group in pipeline.ledger.groups if group.devices) >= 0.0


def _live(story: Story, idle: IdleRule, policy: PolicyName, restart: float) -> Pipeline:
    """Tell all of it, second by second, with a restart in between."""
    pipeline, told, lived = _pipeline(story, idle, policy), list(story.told()), 0
    for second in np.arange(0.0, SECONDS + story.leap + 40.0, 1.0 if story.leap < 100.0 else 7.0).tolist():
        now = later(BEGIN, second)
        while lived < len(told) and told[lived][0] <= second:
            _, server, what = told[lived]
            if server:
                pipeline.receive_event(server, what, now)  # type: ignore[arg-type]  # news has a server
            else:
                pipeline.receive_reading(what)  # type: ignore[arg-type]
            lived += 1
        for server in SERVERS:
            pipeline.receive_progress(server, later(now, -story.lag * (server == "code")))
        pipeline.advance(now)
        _check_books(pipeline, now)
        if restart <= second < restart + 1.0:
            store = {key: value for key, value in pipeline.checkpoint(set()).items() if value is not None}
            pipeline = _pipeline(story, idle, policy, second)
            pipeline.restore(store)
            _check_books(pipeline, now)
    return pipeline


@settings(PROPERTIES, max_examples=25)
@given(_stories, st.sampled_from(["active", "exclude"]), st.sampled_from(["time", "tokens"]), st.integers(0, 130))
def test_every_joule_has_a_row_whatever_is_told_and_through_a_restart(
    story: Story, idle: IdleRule, policy: PolicyName, restart: int
) -> None:
    pipeline = _live(story, idle, policy, restart)
    end = later(BEGIN, SECONDS + story.leap + 41.0)
    pipeline.finish(end)
    _check_books(pipeline, end)
    assert all(steps.since == inf for steps in pipeline.ledger.coarse.values())


_gaps = st.sampled_from([0.1, 1.0, 8.0]) | st.floats(0.1, 25.0)
_lengths = st.sampled_from([0.03, 0.5, 3.0]) | st.floats(0.1, 12.0)


def _one_by_one(lengths: list[tuple[float, float]]) -> list[Span]:
    """Requests that never meet, all in two steps."""
    spans, now = [], 30.5
    for gap, length in lengths:
        start = round(now + gap, 3)
        now = round(start + length, 3)
        spans.append((start, now))
    return [span for span in spans if span[1] < 89.0]


@settings(PROPERTIES, max_examples=25)
@given(st.lists(st.tuples(_gaps, _lengths), min_size=1, max_size=8))
def test_whoever_runs_alone_has_what_the_board_used_meanwhile(lengths: list[tuple[float, float]]) -> None:
    spans, pipeline = _one_by_one(lengths), a_pipeline()
    starts = [Told(at(start), event=Started(str(index), at(start))) for index, (start, _) in enumerate(spans)]
    ends = [Told(at(end), event=Ended(str(index), at(end))) for index, (_, end) in enumerate(spans)]
    settled = run(pipeline, *starts, *ends, end=130.0, boards=[counter(130.0, *spans)])
    assert len(settled) == len(spans)
    for index, (start, end) in enumerate(spans):
        assert settled[str(index)].joules == pytest.approx((end - start) * BUSY, rel=0.002, abs=0.5)
    pipeline.finish(at(130.0))
    idle = 90.0 - sum(end - start for start, end in spans)
    assert pipeline.snapshot(at(130.0)).devices[0].booked["idle"] == pytest.approx(idle * IDLE, rel=0.002)
