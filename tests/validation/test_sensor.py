"""The analysis of sensors, held against fake boards whose windows, periods and steps are known; in virtual time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pynvml
import pytest

from tests.fakes.nvml import Counter, FakeGpu, FakeNvml, Fault, Sensor
from tests.power.conftest import PlugIn
from validation.sensor import energy
from validation.sensor.checks import Assumed, checks
from validation.sensor.findings import stage_result
from validation.sensor.polling import Samples, poll
from validation.sensor.probing import BURSTS, IDLE_WITH, IDLE_WITHOUT, Calls, Phase, Plan, Probed, part
from validation.sensor.sensors import COUNTER, SCOPE_MODULE, buffer, sensors
from validation.sensor.steps import changes, renewals, stepping
from validation.sensor.views import views
from validation.sensor.window import Edges, Load, fit

REST, LOADED = 120.0, 650.0
COUNTS = Counter()
WAVES = ((3.817, 3), (1.037, 6), (0.217, 30))


def edges_of(waves: Sequence[tuple[float, int]], start: float = 3.0) -> Edges:
    """One wave after the other, with a second between them."""
    edges = []
    for period, times in waves:
        edges += [(start + index * period, start + (index + 0.5) * period) for index in range(times)]
        start += times * period + 1.0
    return edges


def script(edges: Edges) -> list[tuple[float, float]]:
    switched = [point for on, off in edges for point in ((on, LOADED), (off, REST))]
    return [(0.0, REST), *switched]


@dataclass
class Board:
    """A fake board in virtual time."""

    fake: FakeNvml

    def handle(self) -> object:
        return pynvml.nvmlDeviceGetHandleByIndex(0)

    def watch(self, seconds: float, pause: float = 0.001) -> dict[str, Samples]:
        """Ask all its sensors every so often, for so long."""
        end = self.fake.now() + seconds
        return poll(
            tuple(sensors(self.handle()).answered.values()),
            self.fake.now,
            lambda wanted: self.fake.set_time(self.fake.now() + wanted),
            lambda: self.fake.now() >= end,
            pause,
        )


@pytest.fixture
def board(plug_in: PlugIn) -> Callable[[FakeGpu], Board]:
    def put_in(gpu: FakeGpu) -> Board:
        fake = plug_in([gpu])
        pynvml.nvmlInit()
        return Board(fake)

    return put_in


Boards = Callable[[FakeGpu], Board]


@pytest.mark.parametrize(("name", "window"), [("instant", 0.025), ("usage", 1.0), ("average", 1.0)])
def test_a_sensors_window_is_found_within_15_percent_and_its_period_within_5(
    board: Boards, name: str, window: float
) -> None:
    edges = edges_of(WAVES)
    seen = board(FakeGpu(script(edges))).watch(edges[-1][1] + 1.5)
    period = stepping(seen[name]).period_seconds
    assert period == pytest.approx(0.1, rel=0.05)
    found = fit(*renewals(seen[name], period), Load(edges))
    assert found is not None
    assert found.is_good
    assert found.window_seconds == pytest.approx(window, rel=0.15)
    assert found.low_seconds <= found.window_seconds <= found.high_seconds
    assert found.lag_seconds == pytest.approx(0.0, abs=0.01)
    assert [found.rest_watts / 1e3, found.load_watts / 1e3] == pytest.approx([REST, LOADED], rel=0.02)


@pytest.mark.parametrize(("window", "period"), [(0.1, 0.1), (0.01, 0.02), (0.3, 0.05), (0.5, 0.1)])
def test_other_windows_and_periods_are_found_as_well(board: Boards, window: float, period: float) -> None:
    edges = edges_of(WAVES)
    seen = board(FakeGpu(script(edges), instant=Sensor(window, period))).watch(edges[-1][1] + 1.0)["instant"]
    told = stepping(seen).period_seconds
    assert told == pytest.approx(period, rel=0.05)
    found = fit(*renewals(seen, told), Load(edges))
    assert found is not None
    assert found.window_seconds == pytest.approx(window, rel=0.15)


def test_a_reading_that_comes_late_is_told_from_a_long_window(board: Boards) -> None:
    edges = edges_of(WAVES)
    seen = board(FakeGpu(script(edges), instant=Sensor(0.2))).watch(edges[-1][1] + 1.0)["instant"]
    at, value = renewals(seen, stepping(seen).period_seconds)
    found = fit(at + 0.15, value, Load(edges))
    assert found is not None
    assert found.window_seconds == pytest.approx(0.2, rel=0.15)
    assert found.lag_seconds == pytest.approx(0.15, abs=0.01)


def test_power_that_does_not_follow_the_load_has_no_window() -> None:
    at = np.arange(0.0, 20.0, 0.1)
    noise = np.random.default_rng(7).normal(300.0, 40.0, at.size)
    found = fit(at, noise, Load(edges_of(WAVES)))
    assert found is not None
    assert not found.is_good


def test_nothing_is_fitted_to_what_stands_still() -> None:
    at = np.arange(0.0, 20.0, 0.1)
    assert fit(at, np.full(at.size, 5.0), Load(edges_of(WAVES))) is None
    assert fit(at[:5], at[:5], Load(edges_of(WAVES))) is None


@pytest.mark.parametrize("period", [0.02, 0.1, 0.5])
def test_the_steps_of_a_counter_are_found(board: Boards, period: float) -> None:
    seen = board(FakeGpu(((0.0, 100.0),), counter=Counter(period=period, phase=0.013))).watch(6.5)[COUNTER]
    found = stepping(seen)
    assert found.period_seconds == pytest.approx(period, rel=0.05)
    assert found.increment == pytest.approx(1e5 * period, rel=0.05)
    assert found.low_seconds is not None
    assert found.low_seconds >= 0.9 * period


def test_a_sensor_that_skips_renewals_keeps_its_period() -> None:
    """At rest a value is often renewed to what it was."""
    at = np.arange(0.0, 30.0, 0.001)
    random = np.random.default_rng(3)
    values = np.cumsum(random.integers(0, 2, 301))[(at / 0.1 + 1e-9).astype(int)].astype(float)
    samples = Samples(at, values, np.zeros_like(at))
    assert stepping(samples).period_seconds == pytest.approx(0.1, rel=0.05)
    ticks, _ = renewals(samples, stepping(samples).period_seconds)
    assert np.diff(ticks) == pytest.approx(0.1, abs=0.003)


def test_what_is_new_at_every_look_has_no_period_and_says_so() -> None:
    at = np.arange(0.0, 5.0, 0.002)
    found = stepping(Samples(at, at, np.zeros_like(at)))
    assert found.period_seconds is None
    assert "nearly every look" in found.why


def test_what_changes_too_seldom_has_no_period_and_says_so() -> None:
    at = np.arange(0.0, 5.0, 0.002)
    found = stepping(Samples(at, np.floor(at), np.zeros_like(at)))
    assert (found.period_seconds, found.gaps) == (None, 3)
    assert "too seldom" in found.why


def test_the_resolution_is_what_all_steps_are_multiples_of() -> None:
    at = np.arange(0.0, 5.0, 0.01)
    values = np.floor(at / 0.1 + 1e-9) * 15.0
    assert stepping(Samples(at, values, np.zeros_like(at))).resolution == 15.0


def test_counter_and_integral_agree_where_they_should_and_not_where_they_should_not(board: Boards) -> None:
    edges = edges_of(((1.03, 8),))
    for gain in (1.0, 1.2):
        seen = board(FakeGpu(script(edges), counter=Counter(gain=gain))).watch(13.0)
        found = energy.agreement(seen[COUNTER], seen["instant"], delay_seconds=0.06)
        assert found is not None
        assert found.ratio == pytest.approx(gain, rel=0.03)


def test_equal_bursts_have_equal_joules_by_the_counter(board: Boards) -> None:
    edges = [(1.0 + 2.0 * index, 2.237 + 2.0 * index) for index in range(5)]
    counter = board(FakeGpu(script(edges))).watch(11.0)[COUNTER]
    joules = energy.burst_joules(counter, edges, 0.7)
    truth = 1.237 * LOADED + 0.7 * REST
    assert joules == pytest.approx([truth] * 5, rel=0.01)
    spread = energy.spread(joules)
    assert spread is not None
    assert spread < 0.01


def test_what_a_board_does_not_answer_is_named_with_its_reason(board: Boards) -> None:
    gone = (Fault("no_counter"), Fault("no_instant"))
    asked = sensors(board(FakeGpu(faults=gone)).handle())
    assert set(asked.answered) == {"usage", "average"}
    assert asked.refused[COUNTER] == asked.refused["instant"] == asked.refused["instant_module"] == "not_supported"


def test_a_module_is_asked_for_its_power(board: Boards) -> None:
    asked = sensors(board(FakeGpu(module=True)).handle())
    assert {"average_module", "instant_module"} <= set(asked.answered)
    assert f"field 186, scope {'module' if SCOPE_MODULE else ''}" == asked.answered["instant_module"].what


def test_the_boards_own_buffer_has_a_rate_and_a_span(board: Boards) -> None:
    here = board(FakeGpu())
    here.fake.set_time(60.0)
    found = buffer(here.handle(), here.fake.now)
    assert (found.samples, found.type, found.why) == (120, "unsigned int", "")
    assert found.per_second == pytest.approx(50.0)
    assert found.span_seconds == pytest.approx(2.38)


def test_a_buffer_that_is_not_there_says_why(board: Boards) -> None:
    here = board(FakeGpu(faults=(Fault("no_power"),)))
    assert buffer(here.handle(), here.fake.now).why == "not_supported"


def test_calls_that_fail_are_counted_and_give_no_sample(board: Boards) -> None:
    here = board(FakeGpu())
    here.fake.break_down(Fault("error", 0.5, 0.75, value=999))
    seen = here.watch(1.0, pause=0.01)["usage"]
    assert 20 <= seen.failures <= 30
    assert seen.at.size + seen.failures == pytest.approx(100, abs=2)


# ---- the stage's result ----


def probed_on(here: Board, edges: Edges) -> Probed:
    """What a probe would have measured on this board, but for the cost of calls."""
    probed = Probed(sensors(here.handle()), load_name="made up", alone=[100.0, 101.0], polled=[100.2, 100.8])
    idle = here.watch(2.5)
    probed.phases |= {IDLE_WITHOUT: Phase(idle), IDLE_WITH: Phase(idle)}
    last = 0
    for period, times in WAVES:
        mine = tuple(edges[last : last + times])
        last += times
        probed.squares[period] = Phase(here.watch(mine[-1][1] + 0.5 - here.fake.now()), mine)
    bursts = tuple(edges[last:])
    probed.phases[BURSTS] = Phase(here.watch(bursts[-1][1] + 0.6 - here.fake.now()), bursts)
    probed.calls[COUNTER] = Calls(0.7, np.full(1000, 1e-4))
    return probed


def run_of(board: Boards, counter: Counter = COUNTS) -> Probed:
    edges = [*edges_of(WAVES)]
    after = edges[-1][1] + 1.0
    edges += [(after + 1.7 * index, after + 1.7 * index + 1.0) for index in range(4)]
    return probed_on(board(FakeGpu(script(edges), counter=counter)), edges)


ASSUMED = Assumed(0.025, has_counter=True, meter="instant")


def test_a_well_known_board_holds_all_that_is_checked(board: Boards) -> None:
    probed = run_of(board)
    result = stage_result(probed, views(probed), ASSUMED, fake=False)
    value = {figure.name: figure.value for figure in result.figures}
    assert result.ending == "done"
    assert value["counter_step_seconds"] == pytest.approx(0.1, rel=0.05)
    assert value["instant_window_seconds"] == pytest.approx(0.025, rel=0.15)
    assert value["usage_window_seconds"] == pytest.approx(1.0, rel=0.15)
    assert value["usage_window_by_counter_seconds"] == pytest.approx(1.0, rel=0.15)
    assert value["counter_over_instant"] == pytest.approx(1.0, abs=0.03)
    assert value["context_watts"] == pytest.approx(0.0, abs=0.1)
    held = {check.name: check.held for check in result.checks}
    assert not held.pop("an open context costs what was published")
    assert held.pop("polling does not slow the load") is None
    assert set(held.values()) == {True}


def test_a_wrong_assumption_of_the_exporter_is_seen(board: Boards) -> None:
    probed = run_of(board)
    seen = views(probed)
    for assumed in (Assumed(1.0, has_counter=False, meter="instant"), Assumed(0.1, has_counter=False, meter="usage")):
        held = [check.held for check in checks(probed, [], seen, assumed) if "exporter assumes" in check.name]
        assert held == [False]


def test_a_counter_that_runs_wild_is_seen(board: Boards) -> None:
    probed = run_of(board, Counter(gain=1.4))
    result = stage_result(probed, views(probed), ASSUMED, fake=False)
    assert result.checks[0].held is False
    assert result.checks[0].found.startswith("1.4")


def test_without_a_counter_or_a_load_what_is_not_known_is_said_and_nothing_is_zero(board: Boards) -> None:
    here = board(FakeGpu(faults=(Fault("no_counter"),)))
    probed = Probed(sensors(here.handle()))
    probed.phases[IDLE_WITHOUT] = Phase(here.watch(1.0))
    part(probed, "load", lambda: None)
    probed.lost["opening a context"] = "no PyTorch"
    result = stage_result(probed, views(probed), Assumed(why="no"), fake=False)
    value = {figure.name: figure for figure in result.figures}
    assert (result.ending, result.why) == ("failed", "opening a context: no PyTorch")
    assert value["idle_without_context_watts"].value == pytest.approx(100.0)
    assert value["counter_step_seconds"].value is None
    assert value["equal_bursts_spread"].value is None
    assert value["idle_with_context_watts"].value is None
    assert all(figure.note for figure in result.figures if figure.value is None)
    assert {check.held for check in result.checks} == {None}


def test_a_fake_board_has_no_context_whose_watts_could_be_told(board: Boards) -> None:
    probed = run_of(board)
    result = stage_result(probed, views(probed), ASSUMED, fake=True)
    assert next(figure.value for figure in result.figures if figure.name == "context_watts") is None


def test_a_part_that_fails_costs_only_itself() -> None:
    def fail() -> None:
        raise ValueError("driver gone")

    probed = Probed(sensors=None)  # type: ignore[arg-type]
    assert not part(probed, "bad", fail)
    assert part(probed, "good", lambda: None)
    assert list(probed.lost) == ["bad"]
    assert probed.lost["bad"].endswith("ValueError: driver gone")


def test_a_plan_shrinks_to_the_time_there_is() -> None:
    assert Plan().within(1000.0) == Plan()
    assert 55.0 < Plan().seconds < 80.0
    short = Plan().within(20.0)
    assert short.seconds < 30.0
    assert [period for period, _ in short.squares] == [1.037, 0.217]
    assert Plan().within(1.0).bursts == 3


def test_square_waves_never_keep_step_with_a_sensor() -> None:
    for period, times in Plan().squares:
        for sensor in (0.02, 0.1, 0.5):
            phases = {round((index * period / 2 / sensor) % 1.0, 2) for index in range(2 * times)}
            assert len(phases) >= min(2 * times, 6)


def test_every_change_lies_between_the_looks_around_it() -> None:
    seen = changes(Samples(np.array([0.0, 1.0, 3.0]), np.array([5.0, 5.0, 9.0]), np.zeros(3)))
    assert (seen.at.tolist(), seen.value.tolist(), seen.increment.tolist()) == ([2.0], [9.0], [4.0])
