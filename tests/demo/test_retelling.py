"""Recordings that are shown as a demo."""

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from exporter.cli import main
from exporter.demo.shipped import FOLDER, find, shipped
from exporter.demo.summary import Recorded, Result, summary
from exporter.domain.errors import UsageError
from exporter.domain.health import Health, Published
from exporter.domain.units import Instant
from exporter.recording.recording import Recording
from exporter.server.warnings import warnings
from tests.demo.books import books, device_view, settled
from tests.recording import DEMO

LARGEST_BYTES = 400_000


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_recording_is_whole_small_and_says_what_it_is(name: str) -> None:
    one = shipped()[name]
    assert one.path.stat().st_size < LARGEST_BYTES
    assert one.ran
    assert one.energy
    with Recording(one.path) as recording:
        methods = {device.method for device in recording.header.devices}
        assert list(recording.entries())
        assert not recording.cut
    if methods != {"measured"}:
        assert any(method.upper() in one.energy for method in methods - {"measured"}), "not measured, and not said"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_no_shipped_recording_holds_a_path_or_an_address(name: str) -> None:
    text = gzip.decompress(shipped()[name].path.read_bytes()).decode()
    assert not re.search(r"/(home|root|tmp|work|var)/|\b\d+\.\d+\.\d+\.\d+:\d", text)


def test_the_one_of_a_processor_is_that_of_the_tests() -> None:
    assert shipped()["cpu"].path.read_bytes() == DEMO.read_bytes()


def test_labels_have_recordings_and_recordings_labels() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(shipped())


def test_an_unknown_name_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--recording", "no-such-machine"]) == 2
    said = capsys.readouterr().err
    assert "no-such-machine" in said
    assert all(name in said for name in shipped())


def test_a_folder_without_any_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are none"):
        find("cpu", tmp_path)


@pytest.mark.parametrize("more", [["--seconds", "3"], ["--model", "x.gguf"], ["--record", "y"]])
def test_what_it_could_not_change_is_refused(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--recording", "cpu", *more]) == 2
    assert more[0] in capsys.readouterr().err


def test_a_shipped_one_prints_the_demos_table_and_how_its_energy_came_to_be_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--recording", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Joules per request: SmolLM2-135M-Instruct.Q4_1, from recording cpu")
    assert "!! ESTIMATED !!" in out
    assert "recorded                   2026-" in out
    assert "n=46" in out
    assert "clients" not in out
    assert "this machine's CPU" not in out
    assert "demo --recording cpu --keep" in out
    assert max(map(len, out.splitlines())) <= 100
    assert not err


def test_any_file_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(DEMO, tmp_path / "mine.jsonl.gz")
    assert main(["demo", "--recording", str(tmp_path / "mine.jsonl.gz")]) == 0
    assert "from recording mine.jsonl.gz" in capsys.readouterr().out


def test_a_file_that_is_none_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("nothing")
    assert main(["demo", "--recording", str(tmp_path / "x")]) == 1
    assert str(tmp_path / "x") in capsys.readouterr().err


def test_all_requests_of_a_recording_count_and_not_only_the_latest() -> None:
    more = tuple(settled(10.0 * number, 10.0 * number + 1.0, 40.0) for number in range(300))
    recorded = Recorded("x", "then and there", "", "", more, ("it was cut off",))
    text = summary(Result("tiny", books(device_view("measured")), (), recorded=recorded))
    assert "mean 40.00" in text
    assert "n=300" in text
    assert "it was cut off" in text
    assert "ESTIMATED" not in text


def test_a_simulation_is_called_one() -> None:
    recorded = Recorded("x", "then and there", "", "", ())
    assert "a SIMULATION of cpu0" in summary(Result("tiny", books(device_view("simulated")), (), recorded=recorded))


def test_the_page_of_a_recording_says_that_it_is_one() -> None:
    health = Health("1", Instant(0.0), 0.0, 0, 0, 0, (), (), recording="2026-11-21; a machine")
    told = list(warnings(Published(books(), health)))
    assert "Nothing here is live: 2026-11-21; a machine" in told[0]
    assert not any("No power source" in one for one in told)
    live = list(warnings(Published(books(), replace(health, recording=""))))
    assert not any("recording" in one for one in live)
    assert any("No power source" in one for one in live)


@pytest.mark.e2e
def test_with_keep_the_page_of_the_final_books_is_served_until_ctrl_c() -> None:
    command = [sys.executable, "-u", "-m", "exporter", "demo", "--recording", "cpu", "--keep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("live page"))
        url = line.split()[-1]
        page = urlopen(url, timeout=10).read().decode()  # noqa: S310 - our own page
        recent = json.load(urlopen(f"{url}api/v1/requests", timeout=10))  # noqa: S310
        process.send_signal(signal.SIGINT)
        assert process.wait(20.0) == 0
    assert "A recording." in page
    assert "Estimated, not measured." in page
    assert recent
