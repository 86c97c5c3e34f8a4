"""What is printed at the end: books, truth, and no doubt about what it was."""

from pathlib import Path

from exporter.simulate.plan import Plan
from exporter.simulate.summary import Result, summary
from tests.simulate.story import Story


def a_result(tmp_path: Path, plan: Plan, seconds: float) -> Result:
    story = Story(plan, tmp_path)
    story.run(seconds)
    simulation, snapshot = story.simulation, story.finish()
    boards, busy = story.source.true_joules(), simulation.fleet.busy_joules()
    return Result(plan, seconds, snapshot, boards, simulation.truth, busy, simulation.refused)


def test_it_shows_every_boards_books_beside_what_it_truly_drew(tmp_path: Path) -> None:
    result = a_result(tmp_path, Plan(batch=4, gpus=2), 20.0)
    text = summary(result)
    assert text.startswith("SIMULATED: simulated/llama-3.1-8b, GPUs: 2, servers: 2, 20.0 s")
    for view, true in zip(result.snapshot.devices, result.board_joules, strict=True):
        (line,) = [line for line in text.splitlines() if view.device.uuid in line]
        assert f"{true:.2f}" in line
        assert f"{view.metered_joules:.2f}" in line
    assert "share error of time" in text
    assert "Nothing here was measured" in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_a_simulation_without_a_request_has_no_share_error(tmp_path: Path) -> None:
    text = summary(a_result(tmp_path, Plan(load="none", gpus=1), 5.0))
    assert "share error" not in text
    assert "0 ended, 0 of them settled and compared, 0 refused" in text
