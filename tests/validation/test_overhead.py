"""What the exporter costs is told with its interval, and only from pairs."""

import time
from itertools import islice
from pathlib import Path

import pytest

from tests.validation.test_serving import FAKE, room
from validation.fake import plugged_in
from validation.overhead import Block, OverheadStage, differences, interval, turns
from validation.serving.servers import llama


def on(*rates: float) -> Block:
    return Block(on=True, rates=rates)


def off(*rates: float) -> Block:
    return Block(on=False, rates=rates)


def test_states_come_by_turns_so_that_a_drift_hits_both() -> None:
    states = list(islice(turns(), 400))
    for first in range(0, 400, 4):
        a, b, c, d = states[first : first + 4]
        assert (a, b) == (d, c)
        assert a != b
    assert 30 < sum(states[::4]) < 70, "which of them begins is left to chance"
    assert states == list(islice(turns(), 400))


def test_a_cost_is_relative_to_the_rate_without_whichever_came_first() -> None:
    blocks = [on(90.0, 110.0), off(200.0), off(100.0), on(99.0)]
    assert differences(blocks) == pytest.approx([50.0, 1.0])


def test_a_block_without_its_counterpart_says_nothing() -> None:
    assert differences([on(1.0)]) == []
    assert differences([on(99.0), off(100.0), off(5.0)]) == pytest.approx([1.0])


def test_an_interval_needs_two_pairs_and_holds_their_mean() -> None:
    assert interval([1.0]) is None
    assert interval([2.0, 4.0]) == pytest.approx((3.0 - 12.71, 3.0 + 12.71), abs=0.01)
    assert interval([1.0, 1.0, 1.0]) == pytest.approx((1.0, 1.0))


@pytest.mark.e2e
def test_a_real_server_is_loaded_with_and_without_the_exporter(tmp_path: Path) -> None:
    with plugged_in(tmp_path / "nvml"):
        result = OverheadStage(FAKE, [llama(FAKE)]).run(room(tmp_path, 30.0))
    assert result.ending == "done", result.why
    (rows,) = result.tables.values()
    assert {row["exporter"] for row in rows} == {"on", "off"}
    figures = {figure.name: figure for figure in result.figures}
    cost = figures["throughput that the exporter costs"]
    assert cost.value is not None
    assert cost.samples == len(rows) // 2
    assert "FAKE" in cost.note
    used = figures["CPU that the exporter uses"].value
    assert used is not None
    assert 0.0 < used < 100.0


def test_without_a_server_it_fails_and_says_why(tmp_path: Path) -> None:
    began = time.monotonic()
    result = OverheadStage(FAKE, []).run(room(tmp_path, 5.0))
    assert result.ending == "failed"
    assert "no time for a block" in result.why
    assert time.monotonic() >= began
