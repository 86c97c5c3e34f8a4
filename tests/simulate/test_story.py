"""Whole simulations on a clock of their own: whatever befalls, books balance and agree with the truth."""

from pathlib import Path

import pytest

from exporter.domain.snapshot import Snapshot
from exporter.simulate.faults import FAULTS, FaultName
from exporter.simulate.plan import LogName, Plan
from tests.simulate.story import Story

CALM = Plan(batch=6, gpus=2)


def expect_balance(snapshot: Snapshot) -> None:
    for view in snapshot.devices:
        booked = sum(view.booked.values()) + view.unsettled_joules
        assert booked == pytest.approx(view.metered_joules, rel=1e-9)
        assert min(view.booked.values()) >= -1e-6


def metered_over_true(story: Story, snapshot: Snapshot) -> list[float]:
    pairs = zip(snapshot.devices, story.source.true_joules(), strict=True)
    return [view.metered_joules / true for view, true in pairs]


@pytest.mark.parametrize("log", ["jsonl", "vllm"])
def test_a_calm_simulation_is_metered_booked_and_shared_as_it_truly_was(tmp_path: Path, log: LogName) -> None:
    story = Story(Plan(batch=6, gpus=2, log=log), tmp_path)
    story.run(60.0)
    snapshot, truth = story.finish(), story.simulation.truth
    expect_balance(snapshot)
    assert metered_over_true(story, snapshot) == pytest.approx([1.0, 1.0], abs=0.005)
    booked = sum(view.booked["requests"] for view in snapshot.devices)
    assert booked == pytest.approx(story.simulation.fleet.busy_joules(), rel=0.005)
    assert truth.joules == pytest.approx(story.simulation.fleet.busy_joules(), rel=1e-9)
    assert sum(one.requests for one in truth.compared.values()) == truth.ended > 100
    assert (truth.compared["time"].share_error or 1.0) < 0.15


def test_where_the_books_know_tokens_for_long_enough_shares_come_close_to_shapleys(tmp_path: Path) -> None:
    story = Story(Plan(batch=12, gpus=1, seed=3), tmp_path)
    story.run(400.0)
    story.finish()
    compared = story.simulation.truth.compared
    assert compared["steps"].requests > 100
    assert (compared["steps"].share_error or 1.0) < (compared["time"].share_error or 0.0)


def test_the_exporter_counts_tokens_and_outcomes_as_they_were(tmp_path: Path) -> None:
    story = Story(CALM, tmp_path)
    story.run(60.0)
    snapshot = story.finish()
    gauges = story.simulation.gauges
    (name,) = {view.model for view in snapshot.models}
    assert name == "simulated/llama-3.1-8b"
    assert sum(view.tokens["output"] for view in snapshot.models) == sum(one.output_tokens for one in gauges)
    aborted = sum(view.requests.get("aborted", 0) for view in snapshot.models)
    assert aborted == sum(one.finished["abort"] for one in gauges) > 0


def test_every_line_of_vllms_log_is_understood(tmp_path: Path) -> None:
    story = Story(Plan(batch=6, gpus=2, log="vllm"), tmp_path)
    story.run(60.0)
    story.finish()
    for log in story.logs:
        assert log.dropped == []
        assert log.used > 100
        assert set(log.ignored) <= {"startup", "continuation", "blank", "engine_stats", "repeat", "access_line"}
        assert log.ignored.count("engine_stats") == 6
        assert log.ignored.count("continuation") <= 8  # the banner


@pytest.mark.parametrize("log", ["jsonl", "vllm"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_and_leaves_the_books_balanced(tmp_path: Path, fault: FaultName, log: LogName) -> None:
    story = Story(Plan(batch=6, gpus=2, log=log, faults=(fault,), fault_every_seconds=12.0), tmp_path)
    story.run(60.0)
    snapshot = story.finish()
    assert [told.split(":")[0] for told in story.announced] == [f"fault {fault}"] * 5
    expect_balance(snapshot)
    assert metered_over_true(story, snapshot) == pytest.approx([1.0, 1.0], abs=0.03)
    assert story.simulation.truth.ended > 100


def test_a_lost_board_is_counted_and_its_counter_knows_what_was_missed(tmp_path: Path) -> None:
    story = Story(Plan(batch=6, gpus=1, faults=("gpu-lost",), fault_every_seconds=20.0), tmp_path)
    story.run(35.0)
    (view,) = story.finish().devices
    assert view.failures == {"gpu_is_lost": 160}
    assert view.interpolated_joules > 1000.0


def test_a_reset_is_counted(tmp_path: Path) -> None:
    story = Story(Plan(batch=6, gpus=1, faults=("counter-reset",), fault_every_seconds=20.0), tmp_path)
    story.run(30.0)
    (view,) = story.finish().devices
    assert view.counter_resets == 1


def test_a_stuck_counter_is_distrusted(tmp_path: Path) -> None:
    story = Story(Plan(batch=6, gpus=1, faults=("counter-stuck",), fault_every_seconds=20.0), tmp_path)
    story.run(35.0)
    (view,) = story.finish().devices
    assert view.counter_in_use is False


def test_lost_lines_are_missed(tmp_path: Path) -> None:
    story = Story(Plan(batch=6, gpus=1, faults=("lost-lines",), fault_every_seconds=20.0), tmp_path)
    story.run(35.0)
    story.finish()
    assert sum(log.used for log in story.logs) < story.simulation.truth.ended - 5


def test_rotation_loses_no_line_that_had_been_read(tmp_path: Path) -> None:
    story = Story(Plan(batch=6, gpus=1, faults=("log-rotation",), fault_every_seconds=7.0), tmp_path)
    story.run(60.0)
    story.finish()
    assert sum(log.used for log in story.logs) == story.simulation.truth.ended
    assert story.logs[0].arrival.tally.rotations > 2


def test_a_servers_death_is_seen_in_vllms_log_and_ends_its_requests(tmp_path: Path) -> None:
    story = Story(Plan(batch=6, gpus=1, log="vllm", faults=("server-restart",), fault_every_seconds=20.0), tmp_path)
    story.run(30.0)
    snapshot = story.finish()
    assert snapshot.servers[0].closings["restart"] > 0


def test_all_faults_at_once_on_a_loaded_fleet(tmp_path: Path) -> None:
    plan = Plan(model="llama-3.1-70b", gpus=8, load="overload", faults=FAULTS, fault_every_seconds=5.0)
    story = Story(plan, tmp_path)
    story.run(60.0)
    expect_balance(story.finish())
    assert len(story.announced) == 12
    assert story.simulation.refused > 0
