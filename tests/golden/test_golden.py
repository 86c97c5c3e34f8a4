import shutil
import subprocess
from pathlib import Path

import pytest

from tests.golden import HERE, pages

# The name is part of the published interface. "counter" is the hardware's energy counter there, not the metric's type.
ACCEPTED_BY_HAND = ("llm_power_counter_ratio metric name should not include type 'counter'",)


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_page_is_the_one_that_was_agreed(path: Path) -> None:
    assert pages()[path].decode() == path.read_text(), "python -m tests.golden writes it anew"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("name", ["metrics.txt", "nothing_yet.txt"])
def test_promtool_finds_nothing_to_say_about_the_text_page(name: str) -> None:
    check = subprocess.run(
        ["promtool", "check", "metrics"], input=(HERE / name).read_bytes(), capture_output=True, check=False
    )
    said = (check.stdout + check.stderr).decode().splitlines()
    assert [line for line in said if line not in ACCEPTED_BY_HAND] == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_stores_the_openmetrics_page(tmp_path: Path) -> None:
    # Blocks want a time beside each sample, so an hour-old page is made of the golden one.
    lines = (HERE / "metrics.openmetrics.txt").read_text().splitlines()
    page = tmp_path / "page.txt"
    page.write_text("\n".join(_with_time(line) for line in lines if "# {" not in line) + "\n")
    made = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(page), str(tmp_path / "data")],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()


def _with_time(line: str) -> str:
    return line if line.startswith("#") else f"{line} 1763700000"
