import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter import undo
from exporter.domain.errors import KnobError, TuneError
from exporter.tune import guard
from exporter.tune.guard import Guarded, restore_all, tuned
from exporter.tune.knob import KnobName
from exporter.tune.lock import holder, locked
from exporter.tune.nvml import open_knob
from exporter.undo import Undo
from tests.fakes.nvml import NO_PERMISSION, UNKNOWN, FakeGpu, FakeNvml, Fault, RealTime
from tests.tune.ending import keeper_of, kill, tuner, until, until_free, until_says

UUID = FakeGpu().uuid


@pytest.fixture
def fake(fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """One board, in this process and in those that it starts."""
    boards = FakeNvml(fake_library, tmp_path, time=RealTime(epoch=time.time()))
    boards.attach()
    for name, value in boards.environment().items():
        monkeypatch.setenv(name, value)
    return boards


_OTHERS: set[str] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    """Children that other tests of this process left: none of ours."""
    _OTHERS.clear()
    _OTHERS.update(_pids())


def _pids() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def children() -> list[object]:
    return [pid for pid in _pids() if pid not in _OTHERS]


def left() -> list[object]:
    return [*undo.left_over()]


def fail(knob: Guarded) -> None:
    knob.set(300)
    raise RuntimeError("a bug")


class TestNormalLife:
    @pytest.mark.parametrize("name", ["power_limit", "clocks"])
    def test_it_is_turned_under_guard_and_put_back_at_the_end(self, fake: FakeNvml, name: KnobName) -> None:
        with tuned(name, "0") as knob:
            knob.set(knob.range().settings[3])
            assert (fake.power_limit(), fake.locked_clocks()) in {(350.0, None), (700.0, (345, 810))}
            assert len(left()) == len(children()) == 1
            assert holder(UUID) == os.getpid()
        assert (fake.power_limit(), fake.locked_clocks()) == (700.0, None)
        assert left() == children() == []
        assert holder(UUID) is None
        assert fake.references() == 0

    def test_the_undo_file_and_the_keeper_are_there_before_the_first_change(
        self, fake: FakeNvml, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tuned("power_limit", "0") as knob:
            assert left() == children() == []
            seen: list[tuple[int, int, float | None]] = []
            turn = type(knob._knob).set

            def watched(self: object, setting: int) -> None:
                seen.append((len(left()), len(children()), fake.power_limit()))
                turn(self, setting)  # type: ignore[arg-type]

            monkeypatch.setattr(type(knob._knob), "set", watched)
            knob.set(300)
            knob.set(400)
        assert seen == [(1, 1, 700.0), (1, 1, 300.0)]

    def test_one_keeper_serves_for_all_settings(self, fake: FakeNvml) -> None:
        with tuned("power_limit", "0") as knob:
            knob.set(300)
            first = children()
            knob.set(400)
            knob.restore()
            assert fake.power_limit() == 700.0
            knob.set(500)
            assert children() == first

    def test_who_turns_nothing_leaves_nothing(self, fake: FakeNvml) -> None:
        with tuned("clocks", "0") as knob:
            knob.restore()
        assert fake.set_calls() == []

    def test_a_bug_of_ours_puts_it_back(self, fake: FakeNvml) -> None:
        with pytest.raises(RuntimeError, match="a bug"), tuned("power_limit", "0") as knob:
            fail(knob)
        assert fake.power_limit() == 700.0
        assert left() == children() == []


class TestRefusals:
    def test_a_second_tuner_is_refused(self, fake: FakeNvml) -> None:
        with tuner(fake) as first:
            until_says(first, "turned")
            with pytest.raises(TuneError, match=f"gpu0 is being tuned by process {first.pid}"):
                turn_once(300)

    @pytest.mark.parametrize("name", ["power_limit", "clocks"])
    def test_without_permission_nothing_is_left_behind(self, fake: FakeNvml, name: KnobName) -> None:
        fake.break_down(Fault("set_error", value=NO_PERMISSION))
        with pytest.raises(KnobError, match="no_permission"), tuned(name, "0") as knob:
            knob.set(knob.range().settings[0])
        assert left() == children() == []

    def test_a_keeper_that_cannot_start_forbids_the_change(
        self, fake: FakeNvml, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(TuneError, match=r"no keeper can be started \(it died\): nothing was changed"):
            turn_once(300)
        assert all(call.values == (700_000,) for call in fake.set_calls())
        assert left() == children() == []

    def test_an_interpreter_that_is_gone_is_no_keeper(self, fake: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(TuneError, match="no keeper can be started"):
            turn_once(300)
        assert fake.power_limit() == 700.0
        assert left() == []

    def test_a_tuner_without_its_keeper_puts_back_and_stops(self, fake: FakeNvml) -> None:
        with pytest.raises(TuneError, match=r"the keeper of gpu0 \(process \d+\) was killed: .* was put back"):
            lose_keeper()
        assert [call.values for call in fake.set_calls()][-2:] == [(300_000,), (700_000,)]
        assert left() == children() == []

    def test_what_cannot_be_put_back_is_said_with_the_command_and_kept_in_mind(
        self, fake: FakeNvml, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("exporter.tune.nvml.PAUSES_SECONDS", ())
        with pytest.raises(TuneError, match=rf"\(unknown\); do it by hand: nvidia-smi -i {UUID} -pl 700$"):
            break_while_turned(fake)
        assert len(left()) == 1
        fake.break_down()
        until_free(fake)  # the keeper goes on trying
        assert fake.power_limit() == 700.0
        assert left() == []


def turn_once(setting: int) -> None:
    with tuned("power_limit", "0") as knob:
        knob.set(setting)


def lose_keeper() -> None:
    with tuned("power_limit", "0") as knob:
        knob.set(300)
        (keeper,) = (int(str(child)) for child in children())
        os.kill(keeper, signal.SIGKILL)
        until(lambda: "Z" in Path(f"/proc/{keeper}/stat").read_text().split()[2], "a dead keeper")
        knob.set(400)


def break_while_turned(fake: FakeNvml) -> None:
    with tuned("power_limit", "0") as knob:
        knob.set(300)
        fake.break_down(Fault("set_error", value=UNKNOWN))


class TestEnds:
    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    )
    def test_a_signal_puts_it_back_before_the_tuner_ends(self, fake: FakeNvml, number: int, code: int) -> None:
        with tuner(fake) as process:
            until_says(process, "turned")
            process.send_signal(number)
            assert process.wait(30.0) == code
        assert {call.pid for call in fake.set_calls()} == {process.pid}
        assert fake.power_limit() == 700.0
        assert (left(), holder(UUID)) == ([], None)

    def test_of_a_killed_tuner_the_keeper_puts_it_back(self, fake: FakeNvml) -> None:
        with tuner(fake) as process:
            until_says(process, "turned")
            keeper = keeper_of(process)
            process.kill()
            _, said = process.communicate()
            until_free(fake)
        assert fake.set_calls()[-1].pid == keeper
        assert fake.power_limit() == 700.0
        assert left() == []
        assert "ended without putting back the power limit of gpu0 (700 W); its keeper did" in said

    def test_what_is_sent_to_the_whole_group_does_not_end_the_keeper(self, fake: FakeNvml) -> None:
        with tuner(fake) as process:
            until_says(process, "turned")
            keeper = keeper_of(process)
            assert keeper is not None
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(keeper, number)
            process.kill()
            process.wait()
            until_free(fake)
        assert fake.power_limit() == 700.0

    def test_a_child_that_inherits_the_pipe_does_not_deceive_the_keeper(self, fake: FakeNvml) -> None:
        program = (
            "import os, subprocess; from exporter.tune.guard import tuned\n"
            "with tuned('power_limit', '0') as knob:\n"
            "    knob.set(300)\n"
            "    os.set_inheritable(knob._keeper._process.stdin.fileno(), True)\n"
            "    nowhere = subprocess.DEVNULL\n"
            "    load = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=nowhere, stderr=nowhere)\n"
            "    print(load.pid, flush=True); os.kill(os.getpid(), 9)\n"
        )
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        try:
            until_free(fake)
            assert fake.power_limit() == 700.0
        finally:
            kill(int(told.stdout))


class TestBothKilled:
    def strand(self, fake: FakeNvml) -> None:
        with tuner(fake) as process:
            until_says(process, "turned")
            keeper = keeper_of(process)
            process.send_signal(signal.SIGSTOP)
            kill(keeper)
            process.kill()
            process.wait()
            until_free(fake)
        assert fake.power_limit() != 700.0
        assert len(left()) == 1

    def test_the_next_tuner_puts_back_first_and_takes_the_right_limit_for_its_own(self, fake: FakeNvml) -> None:
        self.strand(fake)
        with tuned("clocks", "0"):
            assert fake.power_limit() == 700.0
        assert left() == []

    def test_a_look_at_the_device_comes_after_putting_back(self, fake: FakeNvml) -> None:
        assert guard.put_back_first(UUID, "gpu0") == ()
        self.strand(fake)
        assert guard.put_back_first("GPU-another", "gpu1") == ()
        assert len(guard.put_back_first(UUID, "gpu0")) == 1
        assert (fake.power_limit(), left()) == (700.0, [])

    def test_restoring_puts_back_and_says_so(self, fake: FakeNvml) -> None:
        self.strand(fake)
        assert list(restore_all()) == ["put back: the power limit of gpu0 (700 W), as its tuner was killed"]
        assert (fake.power_limit(), left()) == (700.0, [])
        assert list(restore_all()) == []

    def test_a_running_tuner_is_left_alone(self, fake: FakeNvml) -> None:
        with tuner(fake) as process:
            until_says(process, "turned")
            (said,) = restore_all()
            assert said.startswith(f"left alone: gpu0 is being tuned by process {process.pid}")

    def test_one_device_that_fails_does_not_keep_the_others_from_it(
        self, fake: FakeNvml, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.strand(fake)
        undo.write(undo.runtime_directory(), Undo("gpu7", "GPU-00", 300_000))
        saying = restore_all()
        monkeypatch.setattr("exporter.tune.nvml.PAUSES_SECONDS", ())
        with pytest.raises(TuneError, match=r"gpu7 .* nvidia-smi -i GPU-00 -pl"):
            list(saying)
        assert fake.power_limit() == 700.0

    def test_what_a_restart_of_the_machine_undid_is_not_set_again(
        self, fake: FakeNvml, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.strand(fake)
        before = len(fake.set_calls())
        monkeypatch.setattr(undo, "_boot", lambda: "the next one")
        assert list(restore_all()) == [
            "gpu0: the machine was started anew since it was tuned, which put everything back"
        ]
        assert (len(fake.set_calls()), left()) == (before, [])

    def test_an_undo_file_that_says_nothing_stops_the_next_tuner(self, fake: FakeNvml) -> None:
        path = undo.write(undo.runtime_directory(), Undo("gpu0", UUID, 700_000)).path
        path.write_text("")
        with pytest.raises(TuneError, match="does not say what to put back"):
            turn_once(300)
        assert fake.set_calls() == []


def test_a_lock_is_enough_to_guard_a_knob_of_ones_own(fake: FakeNvml) -> None:
    with locked(UUID, "gpu0") as lock, guard.guarded(open_knob("clocks", "0"), lock) as knob:
        assert (knob.name, knob.device, knob.uuid, len(knob.notes)) == ("clocks", "gpu0", UUID, 1)
        knob.set(900)
        assert fake.locked_clocks() == (345, 900)
    assert fake.locked_clocks() is None


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_into_a_running_event_loop_puts_it_back_as_well(fake: FakeNvml, number: int, code: int) -> None:
    program = (
        "import asyncio; from exporter.tune.guard import tuned\n"
        "async def turn(knob):\n"
        "    async with asyncio.TaskGroup() as beside:\n"
        "        beside.create_task(asyncio.sleep(60))\n"
        "        knob.set(300); print('turned', flush=True); await asyncio.sleep(60)\n"
        "with tuned('power_limit', '0') as knob:\n"
        "    asyncio.run(turn(knob))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        until_says(process, "turned")
        process.send_signal(number)
        assert process.wait(30.0) == code
    assert (fake.power_limit(), left(), fake.set_calls()[-1].pid) == (700.0, [], process.pid)
