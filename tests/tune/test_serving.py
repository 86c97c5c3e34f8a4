"""The simulated serving GPU is held against arithmetic before a search is held against it."""

import time
from pathlib import Path
from threading import Event, Thread

import pynvml
import pytest

from tests.fakes.nvml import FakeGpu, FakeNvml, RealTime
from tests.fakes.serving import (
    CHAT,
    CLOCKS,
    DECODE_HEAVY,
    DEFAULT_BEST,
    LIMITS,
    PREFILL_HEAVY,
    PROFILES,
    Completion,
    Profile,
    Serving,
)
from tests.power.conftest import PlugIn

each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)


@each_profile
def test_without_settings_it_runs_as_at_the_highest(profile: Profile) -> None:
    assert profile.operate() == profile.operate(limit_watts=700.0, locked_mhz=1980)


@each_profile
def test_a_tighter_setting_is_never_faster_and_never_draws_more(profile: Profile) -> None:
    for operations in (
        [profile.operate(limit_watts=watts) for watts in LIMITS],
        [profile.operate(locked_mhz=clock) for clock in CLOCKS],
    ):
        watts = [operation.watts for operation in operations]
        latencies = [operation.latency_seconds for operation in operations]
        assert watts == sorted(watts)
        assert latencies == sorted(latencies, reverse=True)


@each_profile
def test_requests_in_flight_are_rate_times_latency(profile: Profile) -> None:
    operation = profile.operate(limit_watts=350.0, locked_mhz=1400)
    assert operation.requests_per_second * operation.latency_seconds == pytest.approx(profile.load.concurrency)


def test_the_cap_holds_power_where_the_clock_can_go_low_enough() -> None:
    for watts in LIMITS[1:]:
        operation = PREFILL_HEAVY.operate(limit_watts=watts)
        assert PREFILL_HEAVY.board.watts(PREFILL_HEAVY.board.prefill, operation.prefill_clock) <= watts + 1e-6


def test_a_cap_does_not_touch_decode_that_draws_less() -> None:
    assert len({DECODE_HEAVY.operate(limit_watts=watts) for watts in LIMITS}) == 1
    assert DECODE_HEAVY.best_limit() == 700


def test_where_caps_do_nothing_a_lower_clock_saves_and_hardly_slows() -> None:
    best = DECODE_HEAVY.best_clock()
    assert best is not None
    slow, fast = DECODE_HEAVY.operate(locked_mhz=best), DECODE_HEAVY.operate()
    assert slow.joules_per_token < 0.8 * fast.joules_per_token
    assert slow.latency_seconds < 1.1 * fast.latency_seconds


def test_the_optimum_of_a_binding_cap_lies_between_its_ends() -> None:
    assert PREFILL_HEAVY.best_limit() == 350
    assert CHAT.best_limit() == 250


def test_a_latency_bound_moves_the_optimum_up_and_may_leave_none() -> None:
    assert CHAT.best_limit(latency_seconds=5.0) == 400
    assert CHAT.best_limit(latency_seconds=1.0) is None


def test_where_static_power_dominates_the_default_is_best() -> None:
    assert (DEFAULT_BEST.best_limit(), DEFAULT_BEST.best_clock()) == (700, 1980)


def test_in_virtual_time_the_board_draws_what_it_is_set_to(plug_in: PlugIn) -> None:
    fake = plug_in([FakeGpu()])
    pynvml.nvmlInit()
    board = pynvml.nvmlDeviceGetHandleByIndex(0)
    serving = Serving(fake, PREFILL_HEAVY)
    serving.advance(100.0)
    pynvml.nvmlDeviceSetPowerManagementLimit(board, 350_000)
    pynvml.nvmlDeviceSetGpuLockedClocks(board, 345, 1200)
    serving.advance(200.0)
    before, after = PREFILL_HEAVY.operate(), PREFILL_HEAVY.operate(limit_watts=350.0, locked_mhz=1200)
    assert fake.true_joules(0, 0.0, 100.0) == pytest.approx(100.0 * before.watts)
    assert fake.true_joules(0, 100.0, 200.0) == pytest.approx(100.0 * after.watts)
    assert len(serving.completions) == int(100.0 * (before.requests_per_second + after.requests_per_second))
    assert serving.completions[-1].latency_seconds == after.latency_seconds
    ends = [completion.end for completion in serving.completions]
    assert ends == sorted(ends)


def test_noise_and_spread_leave_the_means(plug_in: PlugIn) -> None:
    fake = plug_in([FakeGpu()])
    serving = Serving(fake, CHAT, noise=0.05, spread=0.1)
    serving.advance(300.0)
    truth = CHAT.operate()
    assert fake.true_joules(0, 0.0, 300.0) == pytest.approx(300.0 * truth.watts, rel=0.01)
    latencies = [completion.latency_seconds for completion in serving.completions]
    assert sum(latencies) / len(latencies) == pytest.approx(truth.latency_seconds, rel=0.02)
    assert len(set(latencies)) > 1


def test_in_real_time_it_runs_beside_and_tells_each_request_that_ends(fake_library: Path, tmp_path: Path) -> None:
    fake = FakeNvml(fake_library, tmp_path, time=RealTime(epoch=time.time(), speed=50.0))
    fake.attach()
    told: list[Completion] = []
    stop, enough = Event(), Event()

    def tell(completion: Completion) -> None:
        told.append(completion)
        if len(told) == 30:
            enough.set()

    serving = Serving(fake, CHAT, told=tell)
    beside = Thread(target=serving.run, args=(fake.now, stop))
    beside.start()
    arrived = enough.wait(10.0)
    stop.set()
    beside.join()
    assert arrived
    assert told == serving.completions
