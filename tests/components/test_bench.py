"""The bench's error is what its head says: bounded by a chunk, and without bias."""

from statistics import mean

import pytest

from exporter.components.bench import Bench, Stretch
from exporter.components.probe import Probe
from exporter.components.repetition import Repetition, Rest
from tests.components.rig import IDLE_WATTS, PLAN, Known, PlainSource, Rig, opened

RUN = Known("mlp", "mlp", None, 1, 173.0, 400.0)


def ready(rig: Rig, source: PlainSource, part: Known) -> tuple[Bench, Repetition]:
    """A bench that knows its sensor's period, and warm work."""
    probe = Probe(source, opened(source), rig, 10.0)
    subject = rig.subject([part])
    work = Repetition(subject.parts[0].run, subject.synchronise, rig)
    work.warm_up(0.05)
    probe.learn_period(Rest(rig), PLAN.poll_seconds, 10.0)
    return Bench(probe, rig, PLAN), work


def measured(source: PlainSource, part: Known = RUN, seconds: float = 5.0) -> Stretch:
    bench, work = ready(source.rig, source, part)
    return bench.measure(work, seconds)


@pytest.mark.parametrize(("period", "bound"), [(0.02, 0.0004), (0.1, 0.001), (0.5, 0.005)])
@pytest.mark.parametrize("seconds", [5.0, 5.007])
def test_the_error_is_at_most_a_chunk_over_the_whole_and_has_no_bias(
    period: float, bound: float, seconds: float
) -> None:
    rig = Rig()
    bench, work = ready(rig, PlainSource(rig, period=period, phase=0.3 * period), RUN)
    errors = []
    for _ in range(40):
        stretch = bench.measure(work, seconds)
        errors.append(stretch.joules / stretch.runs / RUN.joules - 1.0)
        rig.sleep(1.0)  # beats time with every one of the sensors
    assert max(map(abs, errors)) <= bound
    assert abs(mean(errors)) < 0.15 * bound


def test_a_step_that_failed_readings_hide_is_no_end() -> None:
    rig, period = Rig(), 0.1

    def hidden(_: int) -> str:
        tick, phase = divmod(rig.t + 0.6 * period, period)
        return "timeout" if rig.t > 10.0 and tick % 3 == 0 and phase < 0.9 * period else ""

    bench, work = ready(rig, PlainSource(rig, period=period, fails=hidden), RUN)
    rig.sleep(10.0)
    for _ in range(6):
        stretch = bench.measure(work, 5.0)
        assert stretch.joules / stretch.runs == pytest.approx(RUN.joules, rel=0.001)


def test_counter_time_is_kept_from_step_to_step() -> None:
    stretch = measured(PlainSource(Rig(), period=0.5, phase=0.1), seconds=5.2)
    assert stretch.seconds == pytest.approx(5.5, abs=0.03)


def test_a_run_that_outlasts_the_period_is_placed_within_it() -> None:
    slow = Known("model", "", None, 1, 370_000.0, 300.0)
    stretch = measured(PlainSource(Rig(), phase=0.03), slow)
    assert stretch.joules / stretch.runs == pytest.approx(slow.joules, rel=0.02)


def test_a_counter_finer_than_our_looks_has_no_period_and_is_right_all_the_same() -> None:
    source = PlainSource(Rig(), period=0.001)
    stretch = measured(source)
    assert stretch.joules / stretch.runs == pytest.approx(RUN.joules, rel=0.002)


def test_the_sensor_is_asked_often_only_around_the_ends() -> None:
    rig = Rig()
    source = PlainSource(rig, phase=0.03)
    bench, _ = ready(rig, source, RUN)
    before = source.looks
    bench.measure(Rest(rig), 60.0)
    assert source.looks - before < 120, "60 s at the rate of the ends would be 12000"


def test_idle_is_measured_like_a_part() -> None:
    rig = Rig()
    bench, _ = ready(rig, PlainSource(rig, phase=0.03), RUN)
    assert bench.measure(Rest(rig), 3.0).watts == pytest.approx(IDLE_WATTS, rel=0.01)


def test_a_lagging_mean_is_waited_out() -> None:
    stretch = measured(PlainSource(Rig(), phase=0.03, counter=False, window=1.0))
    assert stretch.joules / stretch.runs == pytest.approx(RUN.joules, rel=0.002)
