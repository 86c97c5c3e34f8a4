"""What is made of a dcgm-exporter's page."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.domain.errors import SourceError
from exporter.domain.readings import CounterReading, Device, PowerReading, ReadFailure, Reading
from exporter.domain.settings import DcgmSettings, PowerSettings
from exporter.domain.units import Instant
from exporter.ledger.meter import Meter
from exporter.power.dcgm import DcgmSource
from exporter.power.dcgm.page import boards, is_of_dcgm_exporter
from tests.fakes.dcgm import BLANK, FakeBoard, FakeDcgm, Names, render, serving
from tests.ledger.sensors import between, joules

SECOND = FakeBoard(index=1, uuid="GPU-2b5e", bus="00000000:43:00.0")
OTHER_HOST = FakeBoard(index=0, uuid="GPU-77aa", bus="00000000:1B:00.0", host="node-2")


class Bench:
    """A fake dcgm-exporter that is asked on a clock of the test's."""

    def __init__(self, url: str, fake: FakeDcgm, clock: list[float]) -> None:
        self.url, self.fake, self._clock = url, fake, clock
        self.opened: list[DcgmSource] = []

    def now(self) -> Instant:
        return Instant(self._clock[0])

    def wait(self, seconds: float) -> None:
        self._clock[0] += seconds

    def open(self, gpus: Any = "all", **dcgm: Any) -> DcgmSource:
        given = DcgmSettings(**{"url": self.url, **dcgm})
        self.opened.append(DcgmSource(PowerSettings(source=("dcgm",), gpus=gpus, dcgm=given), self.now, self.wait))
        return self.opened[-1]

    def read(self, source: DcgmSource, seconds: float, every: float = 1.0) -> list[Reading]:
        readings: list[Reading] = []
        until = self._clock[0] + seconds
        while self._clock[0] < until:
            self.wait(every)
            readings.extend(source.read())
        return readings


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = [1000.0]
    fake = FakeDcgm(lambda: clock[0], phase=3.0)
    with serving(fake) as url:
        bench = Bench(url, fake, clock)
        yield bench
        for source in bench.opened:
            source.close()


def refusal(do: Callable[[], object]) -> str:
    with pytest.raises(SourceError) as raised:
        do()
    return str(raised.value)


def reasons(readings: Sequence[Reading]) -> set[str]:
    return {reading.reason for reading in readings if isinstance(reading, ReadFailure)}


def metered(device: Device, readings: Sequence[Reading]) -> tuple[Meter, list[Any]]:
    meter = Meter(device)
    return meter, [segment for one in readings if one.device == device.name for segment in meter.receive(one)]


class TestPage:
    @pytest.mark.parametrize("names", ["usual", "new", "old"])
    def test_every_generation_of_names_and_units_is_understood(self, names: Names) -> None:
        board = FakeBoard(joules=lambda _: 4335301.0, watts=lambda _: 302.206, pods=[("llm", "chat-0")])
        (told,) = boards(render([board], 0.0, names).encode()).values()
        assert (told.joules, told.watts) == (4335301.0, 302.206)
        assert (told.index, told.uuid, told.bus, told.host) == (0, board.uuid, board.bus, "node-1")
        assert (told.driver, told.pods) == ("570.86.15", {("llm", "chat-0")})

    def test_a_page_of_long_ago_has_neither_host_nor_model(self) -> None:
        page = b'DCGM_FI_DEV_POWER_USAGE{gpu="0", UUID="GPU-604ac76c"} 31.106000\n'
        (told,) = boards(page).values()
        assert (told.watts, told.joules, told.host) == (31.106, None, "")

    def test_a_board_is_counted_once_under_mig_though_every_instance_repeats_it(self) -> None:
        page = "".join(
            f'DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-26",GPU_I_PROFILE="1g.6gb",GPU_I_ID="{one}"}} 52.6{one}\n'
            f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="0",UUID="GPU-26",GPU_I_ID="{one}"}} 700{one}\n'
            for one in (3, 6, 5, 4)
        )
        (told,) = boards(page.encode()).values()
        assert told.joules == pytest.approx(7.006)
        assert told.watts == pytest.approx(52.63)
        assert told.instances == {"3", "4", "5", "6"}

    @pytest.mark.parametrize("blank", [BLANK, "9223372036854775792", "140737488355328.000000", "NaN", "-1", "N/A", ""])
    def test_a_blank_is_no_value(self, blank: str) -> None:
        (told,) = boards(f'DCGM_FI_DEV_POWER_USAGE{{gpu="0",UUID="GPU-1"}} {blank}\n'.encode()).values()
        assert told.watts is None
        page = f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="0",UUID="GPU-1"}} {blank}\n'
        assert all(board.joules is None for board in boards(page.encode()).values())

    @pytest.mark.parametrize(
        ("let", "most"),
        [
            ("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX"),
            ("DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS", "DCGM_FI_DEV_BOARD_POWER_LIMIT_MAX_WATTS"),
        ],
    )
    def test_limits_are_taken_where_somebody_exports_them(self, let: str, most: str) -> None:
        labels = '{gpu="0",UUID="GPU-9"}'
        page = render([FakeBoard()], 0.0) + f"{let}{labels} 600\n{most}{labels} 700\n"
        told = {(board.let_watts, board.most_watts) for board in boards(page.encode()).values()}
        assert told == {(None, None), (600.0, 700.0)}

    def test_of_two_limits_the_enforced_one_is_meant_and_none_is_no_watts(self) -> None:
        labels = '{gpu="0",UUID="GPU-9"}'
        page = (
            f"DCGM_FI_DEV_POWER_MGMT_LIMIT{labels} 650\nDCGM_FI_DEV_ENFORCED_POWER_LIMIT{labels} 600\n"
            f"DCGM_FI_DEV_POWER_MGMT_LIMIT_MAX{labels} 0\n"
        )
        assert [(board.let_watts, board.most_watts) for board in boards(page.encode()).values()] == [(600.0, None)]

    def test_a_row_that_was_cut_off_is_none(self) -> None:
        """What is left of its value would be far too little: a counter that went back."""
        row = 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-1"} 4335301'
        assert [board.joules for board in boards(f"{row}\n".encode()).values()] == [4335.301]
        assert boards(row.encode()) == {}

    @pytest.mark.parametrize("gpu", ["", "-1", "x", "9" * 5000])
    def test_a_row_of_no_board_is_left_out(self, gpu: str) -> None:
        assert boards(f'DCGM_FI_DEV_POWER_USAGE{{gpu="{gpu}",UUID="GPU-1"}} 30\n'.encode()) == {}

    def test_labels_are_told_apart_whatever_is_in_them(self) -> None:
        page = b'DCGM_FI_DEV_POWER_USAGE{gpu="0", UUID="GPU-1",modelName="a \\"gpu=\\", uuid=} {5",Hostname="h"} 30\n'
        (told,) = boards(page).values()
        assert (told.index, told.uuid, told.host, told.watts) == (0, "GPU-1", "h", 30.0)

    def test_other_pages_are_told_apart(self) -> None:
        assert not is_of_dcgm_exporter(b"# TYPE node_load1 gauge\nnode_load1 0.5\n")
        assert is_of_dcgm_exporter(FakeDcgm(lambda: 0.0, silent=True).page().encode())


class TestChoice:
    def test_devices_are_named_after_their_numbers(self, bench: Bench) -> None:
        bench.fake.boards.append(SECOND)
        gpu0, gpu1 = bench.open().devices
        assert (gpu0.name, gpu0.uuid, gpu0.model) == ("gpu0", FakeBoard().uuid, "NVIDIA H100 80GB HBM3")
        assert (gpu0.method, gpu0.has_counter, gpu0.period_seconds, gpu0.driver) == (
            "measured",
            True,
            30.0,
            "570.86.15",
        )
        assert gpu1.name == "gpu1"

    @pytest.mark.parametrize("selector", ["1", "gpu1", "GPU-2b", "00000000:43:00.0", "43:00.0"])
    def test_gpus_are_chosen_by_number_uuid_or_bus_id(self, bench: Bench, selector: str) -> None:
        bench.fake.boards.append(SECOND)
        assert [device.name for device in bench.open(gpus=(selector,)).devices] == ["gpu1"]

    def test_a_selector_that_fits_none_is_named_with_those_there_are(self, bench: Bench) -> None:
        assert "power.gpus: '7' fits no GPU (there are 0 (GPU-604ac76c" in refusal(lambda: bench.open(gpus=("7",)))

    def test_of_several_hosts_one_must_be_named(self, bench: Bench) -> None:
        bench.fake.boards.append(OTHER_HOST)
        assert "name one in power.dcgm.host: node-1, node-2" in refusal(bench.open)
        assert [device.uuid for device in bench.open(host="node-2").devices] == ["GPU-77aa"]
        assert "it tells of node-1, node-2" in refusal(lambda: bench.open(host="node-3"))

    def test_two_hosts_without_names_are_noticed_by_their_numbers(self, bench: Bench) -> None:
        bench.fake.boards = [replace(FakeBoard(), host=""), replace(OTHER_HOST, host="")]
        assert "several GPUs with number 0" in refusal(bench.open)

    def test_a_pod_has_the_gpus_that_kubernetes_gave_to_it(self, bench: Bench) -> None:
        bench.fake.boards = [FakeBoard(pods=[("llm", "chat-0")]), replace(SECOND, pods=[("llm", "chat-1")])]
        assert [device.name for device in bench.open(pod="chat-1", namespace="llm").devices] == ["gpu1"]
        assert "it tells of llm/chat-0, llm/chat-1" in refusal(lambda: bench.open(pod="chat-1", namespace="other"))

    def test_a_page_without_pods_says_how_to_have_them(self, bench: Bench) -> None:
        assert "DCGM_EXPORTER_KUBERNETES=true" in refusal(lambda: bench.open(pod="chat-0"))

    def test_it_waits_for_the_page_to_tell_of_the_pod(self, bench: Bench) -> None:
        at_last = bench.now() + 40.0
        bench.fake.boards = [FakeBoard(pods=[("llm", "chat-0")])]
        waited = bench.wait

        def wait(seconds: float) -> None:
            waited(seconds)
            bench.fake.silent = bench.now() < at_last

        bench.fake.silent, bench.wait = True, wait  # type: ignore[method-assign]
        assert [device.name for device in bench.open(pod="chat-0", wait_seconds=60.0).devices] == ["gpu0"]
        assert bench.now() >= at_last

    def test_it_waits_for_energy_where_power_is_told_already(self, bench: Bench) -> None:
        energy, at_last = FakeBoard().joules, bench.now() + 40.0
        assert energy is not None
        bench.fake.boards = [FakeBoard(joules=None)]
        waited = bench.wait

        def wait(seconds: float) -> None:
            waited(seconds)
            bench.fake.replace(0, joules=energy if bench.now() >= at_last else None)

        bench.wait = wait  # type: ignore[method-assign]
        assert bench.open(wait_seconds=60.0).devices[0].has_counter
        assert at_last <= bench.now() < at_last + 2.0


class TestRefusals:
    def test_nobody_listening_is_said_with_what_to_do(self, bench: Bench) -> None:
        said = refusal(lambda: bench.open(url="http://localhost:1/metrics"))
        assert "http://localhost:1/metrics cannot be reached: Connection refused" in said
        assert "is dcgm-exporter running there" in said

    def test_another_page_is_none_of_dcgm_exporters(self, bench: Bench) -> None:
        bench.fake.text = "# TYPE node_load1 gauge\nnode_load1 0.5\n"
        assert "is no page of dcgm-exporter (its page is at port 9400" in refusal(bench.open)

    def test_a_page_without_both_fields_names_them(self, bench: Bench) -> None:
        bench.fake.boards = [FakeBoard(joules=None, watts=None)]
        said = refusal(bench.open)
        assert "tells neither energy nor power of any GPU" in said
        assert "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION, counter" in said

    def test_a_page_on_which_all_is_blank_says_so(self, bench: Bench) -> None:
        bench.fake.boards = [FakeBoard(joules=None, watts=lambda _: BLANK)]
        assert "neither energy nor power of the chosen GPUs: all is blank" in refusal(bench.open)

    @pytest.mark.parametrize(("status", "said"), [(401, "does not let us in (401)"), (500, "with status 500")])
    def test_a_status_that_is_no_page_is_said(self, bench: Bench, status: int, said: str) -> None:
        bench.fake.status = status
        assert said in refusal(bench.open)

    def test_http_where_tls_was_meant_is_said(self, bench: Bench) -> None:
        assert "does not speak TLS" in refusal(lambda: bench.open(url=bench.url.replace("http", "https")))

    def test_a_secret_that_cannot_be_read_is_named_with_its_key(self, bench: Bench, tmp_path: Path) -> None:
        said = refusal(lambda: bench.open(token_file=str(tmp_path / "none")))
        assert said.startswith("power.dcgm.token_file:")


class TestAccess:
    def test_a_token_is_shown(self, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("s3cret\n")
        bench.open(token_file=str(tmp_path / "token"))
        assert bench.fake.headers["Authorization"] == "Bearer s3cret"

    def test_a_user_and_a_password_are_shown(self, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("b\n")
        bench.open(user="a", password_file=str(tmp_path / "password"))
        assert bench.fake.headers["Authorization"] == "Basic YTpi"

    def test_one_connection_is_kept_open(self, bench: Bench) -> None:
        bench.read(bench.open(), 20.0)
        assert bench.fake.connections == 1
        assert bench.fake.asked > 10


class TestReading:
    def test_power_is_told_once_for_each_collection_and_the_counter_at_every_look(self, bench: Bench) -> None:
        readings = bench.read(bench.open(), 90.0)
        assert sum(isinstance(reading, PowerReading) for reading in readings) == 4
        assert sum(isinstance(reading, CounterReading) for reading in readings) == 90

    def test_power_is_told_once_for_each_collection_though_they_were_expected_more_often(self, bench: Bench) -> None:
        source = bench.open(collect_seconds=1.0)
        bench.read(source, 60.0)
        assert sum(isinstance(reading, PowerReading) for reading in bench.read(source, 90.0)) == 3

    def test_a_service_that_leads_to_two_nodes_by_turns_makes_no_collection_of_each_turn(self, bench: Bench) -> None:
        source, ours = bench.open(), list(bench.fake.boards)
        bench.read(source, 30.0)
        readings = []
        for turn in range(90):
            bench.fake.boards = [OTHER_HOST] if turn % 2 else ours
            readings += bench.read(source, 1.0)
        assert sum(isinstance(reading, PowerReading) for reading in readings) == 3
        assert reasons(readings) == {"not_listed"}

    def test_a_reading_is_of_the_middle_of_a_question(self, bench: Bench) -> None:
        source = bench.open()

        def slow(at: float) -> float:
            bench.wait(0.5)
            return 300.0 + at % 7.0

        bench.fake.replace(0, watts=slow)
        bench.wait(2.0)
        before = bench.now()
        assert {reading.at for reading in source.read()} == {before + 0.25}

    def test_it_asks_at_its_own_pace(self, bench: Bench) -> None:
        source = bench.open()
        asked = bench.fake.asked
        bench.read(source, 60.0, every=0.05)
        assert 60 <= bench.fake.asked - asked < 80

    def test_a_quick_collection_is_looked_at_more_often(self, bench: Bench) -> None:
        bench.fake.collect = 1.0
        source = bench.open()
        bench.read(source, 10.0, every=0.05)
        asked = bench.fake.asked
        bench.read(source, 10.0, every=0.05)
        assert bench.fake.asked - asked == pytest.approx(40, abs=2)

    def test_the_collect_interval_is_found_out(self, bench: Bench) -> None:
        source = bench.open()
        meter, _ = metered(source.devices[0], bench.read(source, 200.0, every=0.5))
        assert meter.period_seconds == pytest.approx(30.0, abs=0.5)

    def test_energy_is_the_counters(self, bench: Bench) -> None:
        source = bench.open()
        meter, segments = metered(source.devices[0], bench.read(source, 300.0, every=0.5))
        assert between(segments, 1060.0, 1240.0) == pytest.approx(300.0 * 180.0, rel=0.02)
        assert (meter.counter_in_use, meter.interpolated_joules, meter.gap_seconds) == (True, 0.0, 0.0)

    def test_a_load_that_power_sampled_badly_does_not_make_the_counter_distrusted(self, bench: Bench) -> None:
        """Power is asked in the breaks of a load that works most of the time."""
        bench.fake.replace(0, watts=lambda at: 80.0 + 0.01 * (at % 7.0), joules=lambda at: 1e6 + 500.0 * at)
        source = bench.open()
        meter, _ = metered(source.devices[0], bench.read(source, 600.0))
        assert meter.counter_in_use

    def test_between_collections_the_power_is_not_stale(self, bench: Bench) -> None:
        source = bench.open()
        meter, _ = metered(source.devices[0], bench.read(source, 60.0))
        assert meter.watts(bench.now() + 30.0) is not None
        assert meter.watts(bench.now() + 100.0) is None

    def test_a_page_without_the_counter_leaves_power_alone(self, bench: Bench) -> None:
        bench.fake.replace(0, joules=None)
        source = bench.open()
        assert not source.devices[0].has_counter
        meter, segments = metered(source.devices[0], bench.read(source, 300.0))
        assert between(segments, 1060.0, 1240.0) == pytest.approx(300.0 * 180.0, rel=0.02)
        assert meter.period_seconds == pytest.approx(30.0, abs=1.0)
        assert meter.gap_seconds == 0.0

    def test_a_board_without_a_counter_whose_power_goes_blank_has_no_value(self, bench: Bench) -> None:
        bench.fake.replace(0, joules=None)
        source = bench.open()
        bench.fake.replace(0, watts=lambda _: BLANK)
        readings = bench.read(source, 5.0)
        assert len(readings) == 5
        assert reasons(readings) == {"no_value"}

    def test_a_power_that_never_changes_is_told_anew(self, bench: Bench) -> None:
        bench.fake.replace(0, joules=None, watts=lambda _: 25.0)
        source = bench.open()
        readings = bench.read(source, 110.0)
        assert sum(isinstance(reading, PowerReading) for reading in readings) == 3


class TestTrouble:
    def test_an_outage_is_bridged_by_the_counter_and_marked(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "exporter.power.dcgm")
        source = bench.open()
        readings = bench.read(source, 300.0)
        bench.fake.down = True
        lost = bench.read(source, 100.0)
        assert reasons(lost) == {"unreachable"}
        assert all(isinstance(reading, ReadFailure) for reading in lost)
        bench.fake.down = False
        meter, segments = metered(source.devices[0], [*readings, *lost, *bench.read(source, 100.0)])
        assert joules(segments[1:]) == pytest.approx(300.0 * (segments[-1].end - segments[1].start), rel=0.02)
        assert meter.interpolated_joules == pytest.approx(300.0 * 90.0, rel=0.01)
        assert (meter.counter_in_use, meter.gap_seconds, meter.resets) == (True, 0.0, 0)
        assert ["cannot be reached" in one.message for one in caplog.records] == [True, False]

    def test_a_restart_of_dcgm_exporter_leaves_the_counter_as_it_was(self, bench: Bench) -> None:
        source = bench.open()
        readings = bench.read(source, 200.0)
        bench.fake.silent = True
        empty = bench.read(source, 20.0)
        assert reasons(empty) == {"no_fields"}
        bench.fake.silent = False
        meter, _ = metered(source.devices[0], [*readings, *empty, *bench.read(source, 60.0)])
        assert (meter.resets, meter.gap_seconds, meter.interpolated_joules) == (0, 0.0, 0.0)

    def test_a_rebooted_host_is_a_reset(self, bench: Bench) -> None:
        source = bench.open()
        readings = bench.read(source, 200.0)
        began = bench.now()
        bench.fake.replace(0, joules=lambda at: 300.0 * max(at - began, 0.0))
        meter, segments = metered(source.devices[0], [*readings, *bench.read(source, 120.0)])
        assert meter.resets == 1
        assert meter.gap_seconds < 2.0
        assert joules(segments) == pytest.approx(300.0 * (segments[-1].end - segments[0].start), rel=0.03)

    def test_a_gpu_that_vanishes_fails_alone(self, bench: Bench) -> None:
        bench.fake.boards.append(SECOND)
        source = bench.open()
        del bench.fake.boards[1]
        readings = bench.read(source, 5.0)
        assert {reading.device for reading in readings if isinstance(reading, ReadFailure)} == {"gpu1"}
        assert reasons(readings) == {"not_listed"}

    def test_another_hosts_page_is_not_taken_for_ours(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        source = bench.open()
        bench.fake.boards = [OTHER_HOST]
        assert reasons(bench.read(source, 5.0)) == {"not_listed"}
        assert "it tells of host node-2: a Service must lead to its own node's" in caplog.text

    def test_a_page_without_our_gpus_is_not_taken_for_frozen(self, bench: Bench) -> None:
        source = bench.open()
        bench.fake.boards = [OTHER_HOST]
        assert reasons(bench.read(source, 400.0)) == {"not_listed"}

    def test_a_container_that_was_replaced_names_its_host_anew_and_tells_of_the_same_gpus(self, bench: Bench) -> None:
        source = bench.open()
        bench.fake.replace(0, host="another-container")
        assert reasons(bench.read(source, 5.0)) == set()

    def test_a_page_that_never_changes_again_is_said(self, bench: Bench) -> None:
        source = bench.open()
        bench.read(source, 60.0)
        bench.fake.frozen_at = bench.now()
        assert reasons(bench.read(source, 100.0)) == set()
        assert reasons(bench.read(source, 100.0)) == {"frozen"}

    def test_a_slow_collection_is_not_taken_for_frozen(self, bench: Bench) -> None:
        bench.fake.collect = 60.0
        source = bench.open(collect_seconds=60.0)
        bench.read(source, 120.0)
        bench.fake.frozen_at = bench.now()
        assert reasons(bench.read(source, 180.0)) == set()
        assert reasons(bench.read(source, 100.0)) == {"frozen"}

    def test_a_counter_that_stands_still_while_power_is_drawn_gives_way(self, bench: Bench) -> None:
        source = bench.open()
        readings = bench.read(source, 200.0)
        stuck = 5e6 + 300.0 * 1180.0
        bench.fake.replace(0, joules=lambda _: stuck)
        meter, _ = metered(source.devices[0], [*readings, *bench.read(source, 200.0)])
        assert not meter.counter_in_use

    def test_a_slower_collection_than_expected_is_said_once(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.fake.collect = 60.0
        bench.read(bench.open(), 400.0)
        assert caplog.text.count("set power.dcgm.collect_interval to that") == 1
