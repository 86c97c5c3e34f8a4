"""The benchmark of reports on a fleet still runs, and knows what its GPUs used. No cost is judged."""

from pathlib import Path

import pytest

from tests.bench.reporting import Fleet, ask, write


@pytest.mark.e2e
def test_a_report_on_a_small_fleet_says_what_it_used(
    prometheus_program: str, promtool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(gpus=3, hours=1)
    write(fleet, tmp_path, promtool)
    ask(fleet, tmp_path, prometheus_program, runs=1)
    [row] = capsys.readouterr().out.splitlines()
    assert row.startswith("| 3 GPUs, 1 h | ")
    assert float(row.split("|")[-2]) < 1e-12
