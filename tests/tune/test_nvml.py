from dataclasses import replace

import pynvml
import pytest

from exporter.domain.errors import KnobError, TuneError
from exporter.tune.knob import KnobName
from exporter.tune.nvml import LockedClocks, PowerLimit, Session, find_board, open_knob, put_back
from exporter.undo import Undo
from tests.fakes.nvml import (
    INVALID_ARGUMENT,
    NO_PERMISSION,
    UNKNOWN,
    VGPU_GUEST,
    Clocks,
    DriverGone,
    FakeGpu,
    FakeNvml,
    Fault,
)
from tests.power.conftest import PlugIn

BOARD = FakeGpu()
KNOBS: tuple[KnobName, ...] = ("power_limit", "clocks")
each_knob = pytest.mark.parametrize("name", KNOBS)


class Waits:
    """Pauses that take no time, counted."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def opened(name: KnobName, gpu: str = "0") -> PowerLimit | LockedClocks:
    return open_knob(name, gpu, Waits())


def state(fake: FakeNvml, index: int = 0) -> tuple[float | None, tuple[int, int] | None]:
    return fake.power_limit(index), fake.locked_clocks(index)


class TestPowerLimit:
    def test_it_ranges_from_the_least_permitted_to_what_was_there(self, plug_in: PlugIn) -> None:
        plug_in([BOARD])
        limits = opened("power_limit").range()
        assert (limits.unit, limits.settings[0], limits.settings[-1], limits.default) == ("W", 200, 700, 700)

    def test_a_limit_that_somebody_lowered_is_the_highest_that_is_tried(self, plug_in: PlugIn) -> None:
        plug_in([replace(BOARD, limit_watts=450.0, default_limit_watts=700.0)])
        knob = opened("power_limit")
        assert (knob.range().settings[-1], knob.range().default) == (450, 450)
        assert "no higher limit is tried" in knob.notes[0]

    def test_it_is_set_and_put_back_to_the_milliwatt(self, plug_in: PlugIn) -> None:
        fake = plug_in([replace(BOARD, limit_watts=650.5)])
        knob = opened("power_limit")
        knob.set(300)
        assert fake.power_limit() == 300.0
        knob.set(knob.range().default)
        assert fake.power_limit() == 650.5
        knob.set(250)
        knob.restore()
        knob.restore()
        assert fake.power_limit() == 650.5

    def test_the_right_to_set_it_is_checked_by_setting_what_is_there(self, plug_in: PlugIn) -> None:
        fake = plug_in([BOARD])
        opened("power_limit").check()
        assert [call.values for call in fake.set_calls()] == [(700_000,)]

    def test_a_limit_out_of_range_is_refused_in_words(self, plug_in: PlugIn) -> None:
        plug_in([BOARD])
        with pytest.raises(
            KnobError, match=r"gpu0: a power limit of 100 W is refused: invalid_argument: out of the range"
        ):
            opened("power_limit").set(100)


class TestLockedClocks:
    def test_it_ranges_over_clocks_that_the_board_has(self, plug_in: PlugIn) -> None:
        plug_in([replace(BOARD, clocks=Clocks(300, 1500, 100))])
        clocks = opened("clocks").range()
        assert (clocks.unit, clocks.settings, clocks.default) == ("MHz", (400, *range(500, 1501, 100)), 1500)

    def test_it_locks_from_the_lowest_clock_up_and_the_highest_setting_unlocks(self, plug_in: PlugIn) -> None:
        fake = plug_in([BOARD])
        knob = opened("clocks")
        knob.set(1200)
        assert fake.locked_clocks() == (345, 1200)
        knob.set(1980)
        assert fake.locked_clocks() is None
        knob.set(900)
        knob.restore()
        assert fake.locked_clocks() is None

    def test_it_says_what_it_cannot_know(self, plug_in: PlugIn) -> None:
        plug_in([BOARD])
        (only,) = opened("clocks").notes
        assert "does not tell whether clocks are locked" in only

    def test_it_passes_on_that_something_holds_the_clocks_already(self, plug_in: PlugIn) -> None:
        plug_in([BOARD])
        opened("clocks").set(900)
        assert "lock them again afterwards" in opened("clocks").notes[1]

    def test_clocks_that_were_not_touched_are_not_unlocked(self, plug_in: PlugIn) -> None:
        fake = plug_in([BOARD])
        opened("clocks").restore()
        assert fake.set_calls() == []

    def test_a_board_that_names_no_clocks_cannot_be_locked(self, plug_in: PlugIn) -> None:
        plug_in([replace(BOARD, clocks=Clocks(1500, 1500, 15))])
        with pytest.raises(KnobError, match="names no clocks"):
            opened("clocks")


class TestRefusals:
    @each_knob
    def test_without_permission_nothing_is_changed_and_the_remedy_is_named(
        self, plug_in: PlugIn, name: KnobName
    ) -> None:
        fake = plug_in([replace(BOARD, faults=(Fault("set_error", value=NO_PERMISSION),))])
        knob = opened(name)
        with pytest.raises(KnobError, match=r"no_permission: run this as root \(sudo\)"):
            knob.set(knob.range().settings[3])
        knob.restore()  # nothing was turned, so there is nothing that could fail
        assert state(fake) == (700.0, None)

    def test_the_check_finds_that_permission_is_missing(self, plug_in: PlugIn) -> None:
        plug_in([replace(BOARD, faults=(Fault("set_error", value=NO_PERMISSION),))])
        with pytest.raises(KnobError, match="no_permission"):
            opened("power_limit").check()

    @each_knob
    def test_a_setting_that_the_driver_took_without_effect_is_found_out(self, plug_in: PlugIn, name: KnobName) -> None:
        fake = plug_in([BOARD])
        knob = opened(name)
        fake.break_down(Fault("set_ignored"))
        with pytest.raises(KnobError, match=r"took .* and still says 700 W|still run at 1980 MHz"):
            knob.set(knob.range().settings[3])

    @pytest.mark.parametrize(("name", "kind"), [("power_limit", "no_limits"), ("clocks", "no_clocks")])
    def test_a_board_that_does_not_offer_it_says_so(self, plug_in: PlugIn, name: KnobName, kind: str) -> None:
        fault = Fault("no_limits" if kind == "no_limits" else "no_clocks")
        plug_in([replace(BOARD, faults=(fault,))])
        with pytest.raises(KnobError, match=r"not_supported: .*try the other knob"):
            opened(name)

    def test_a_board_in_parts_is_not_tuned(self, plug_in: PlugIn) -> None:
        plug_in([replace(BOARD, mig=("MIG-1", "MIG-2"))])
        for gpu in ("0", "MIG-1"):
            with pytest.raises(KnobError, match="gpu0 is split into MIG instances"):
                opened("power_limit", gpu)

    def test_a_virtual_board_is_not_tuned(self, plug_in: PlugIn) -> None:
        plug_in([replace(BOARD, virtualization=VGPU_GUEST)])
        with pytest.raises(KnobError, match=r"virtual GPU.*on its host"):
            opened("clocks")

    @each_knob
    def test_a_board_that_is_not_there_is_named_with_those_that_are(self, plug_in: PlugIn, name: KnobName) -> None:
        plug_in([BOARD])
        with pytest.raises(KnobError, match=r"--gpu: '3' fits no GPU .*there are 0 "):
            opened(name, "3")

    def test_without_a_driver_it_says_so(self, plug_in: PlugIn) -> None:
        there = plug_in([BOARD])
        FakeNvml(there.library, there.config.parent, driver=[DriverGone(0.0)]).attach()
        with pytest.raises(KnobError, match="NVML cannot start: driver_not_loaded"):
            find_board("0")

    def test_every_refusal_leaves_nvml_as_it_was(self, plug_in: PlugIn) -> None:
        fake = plug_in([replace(BOARD, mig=("MIG-1",))])
        with pytest.raises(KnobError):
            opened("power_limit")
        with pytest.raises(KnobError):
            opened("power_limit", "7")
        find_board("0")
        assert fake.references() == 0


class TestPuttingBack:
    UNDO = Undo("gpu0", BOARD.uuid, 700_000)

    def test_a_driver_that_refuses_for_a_moment_is_asked_again(self, plug_in: PlugIn) -> None:
        fake = plug_in([BOARD])
        knob = opened("power_limit")
        knob.set(300)
        fake.break_down(Fault("set_error", value=UNKNOWN, times=2))
        knob.restore()
        assert fake.power_limit() == 700.0

    def test_a_driver_that_was_reloaded_is_initialised_again(self, plug_in: PlugIn) -> None:
        there = plug_in([BOARD])
        fake = FakeNvml(there.library, there.config.parent, driver=[DriverGone(5.0, 10.0)])
        fake.attach()
        knob = opened("power_limit")
        knob.set(300)
        fake.set_time(11.0)
        knob.restore()
        assert fake.power_limit() == 700.0

    @pytest.mark.parametrize(
        ("milliwatts", "command"), [(650_500, f"nvidia-smi -i {BOARD.uuid} -pl 650.5"), (None, f"{BOARD.uuid} -rgc")]
    )
    def test_where_it_cannot_the_command_is_named(self, plug_in: PlugIn, milliwatts: int | None, command: str) -> None:
        plug_in([replace(BOARD, faults=(Fault("set_error", value=INVALID_ARGUMENT),))])
        waits = Waits()
        with pytest.raises(TuneError) as refused:
            put_back(Undo("gpu0", BOARD.uuid, milliwatts), Session(), (0.1, 0.3), waits)
        assert str(refused.value).endswith(command)
        assert waits.seconds == [0.1, 0.3]

    def test_a_limit_that_is_as_it_was_needs_no_permission(self, plug_in: PlugIn) -> None:
        fake = plug_in([replace(BOARD, faults=(Fault("set_error", value=NO_PERMISSION),))])
        put_back(self.UNDO, Session(), (), Waits())
        assert fake.set_calls() == []

    def test_a_limit_that_does_not_stay_put_is_no_success(self, plug_in: PlugIn) -> None:
        fake = plug_in([BOARD])
        session = Session()
        pynvml.nvmlDeviceSetPowerManagementLimit(session.board(BOARD.uuid), 300_000)
        fake.break_down(Fault("set_ignored"))
        with pytest.raises(TuneError, match="still says 300 W"):
            put_back(self.UNDO, session, (), Waits())
