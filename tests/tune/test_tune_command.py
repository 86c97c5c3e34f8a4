"""The command as its users run it, against fake boards and a metered load in real time. SIMULATED."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter import undo
from tests.e2e.web import wait_until
from tests.fakes.nvml import NO_PERMISSION, FakeNvml, Fault
from tests.fakes.serving import DECODE_HEAVY, PREFILL_HEAVY
from tests.tune.plant_server import hurried, plant_serving

QUICK = ("--seconds", "0.5", "--requests", "10", "--max-wait", "1.5", "--max-slowdown", "2")


def tune(
    url: str, fake: FakeNvml | None, *arguments: str, quick: Sequence[str] = QUICK
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exporter", "tune", "--exporter", url, *quick, *arguments]
    environment = {**os.environ, **(fake.environment() if fake is not None else {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.e2e
def test_apply_finds_the_optimum_and_puts_everything_back(fake_library: Path, tmp_path: Path) -> None:
    with plant_serving(fake_library, tmp_path, PREFILL_HEAVY) as (url, fake, _):
        done = tune(url, fake, "--apply", "--knob", "power_limit", "--trials", "9", "--json")
        assert done.returncode == 0, done.stderr
        assert fake.power_limit(0) == 700.0
    told: dict[str, Any] = json.loads(done.stdout)
    best = hurried(PREFILL_HEAVY).best_limit(told["plan"]["settings"])
    verdict, settings = told["verdict"], told["plan"]["settings"]
    assert verdict["kind"] == "recommend", verdict
    assert abs(settings.index(verdict["setting"]) - settings.index(best)) <= 1
    assert len(told["trials"]) <= 9
    assert {one["setting"] for one in told["trials"]} >= {700, verdict["setting"]}
    assert told["energy"] == ["measured"]
    assert told["undo"] == []


@pytest.mark.e2e
def test_keep_leaves_the_recommendation_and_says_how_to_undo_it(fake_library: Path, tmp_path: Path) -> None:
    with plant_serving(fake_library, tmp_path, DECODE_HEAVY) as (url, fake, _):
        done = tune(url, fake, "--apply", "--keep", "--knob", "clocks", "--trials", "6")
        assert done.returncode == 0, done.stderr
        clocks = fake.locked_clocks(0)
    assert clocks is not None
    assert clocks[1] < 1980
    assert f"recommend: {clocks[1]:.0f} MHz instead of 1980 MHz (the default) saves" in done.stdout
    assert "is set and stays. To undo it:\n  nvidia-smi -i GPU-11111111-2222-3333-4444-555555555555 -rgc" in done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_of_a_trial_puts_everything_back(
    fake_library: Path, tmp_path: Path, number: int, code: int
) -> None:
    with plant_serving(fake_library, tmp_path, PREFILL_HEAVY) as (url, fake, _):
        command = [
            sys.executable,
            "-m",
            "exporter",
            "tune",
            "--exporter",
            url,
            *QUICK,
            "--apply",
            "--knob",
            "power_limit",
        ]
        environment = {**os.environ, **fake.environment()}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            wait_until(lambda: fake.power_limit(0) != 700.0, 30.0, "a lower limit is tried")
            process.send_signal(number)
            _, errors = process.communicate(timeout=30.0)
        assert process.returncode == code
        assert errors.decode() == "stopped: everything was put back\n"
        assert fake.power_limit(0) == 700.0


@pytest.mark.e2e
@pytest.mark.parametrize("knob", ["clocks", "power_limit"])
def test_a_dry_run_measures_the_default_and_changes_nothing(fake_library: Path, tmp_path: Path, knob: str) -> None:
    with plant_serving(fake_library, tmp_path, PREFILL_HEAVY) as (url, fake, _):
        done = tune(url, fake, "--knob", knob)
        assert done.returncode == 0, done.stderr
        assert fake.set_calls() == []
    assert done.stdout.startswith("dry run: nothing is changed\n")
    assert "counted     requests of chat" in done.stdout
    assert "takes       one trial, at most 4 s; with --apply at most 15 trials and 54 s" in done.stdout
    assert "--apply tries the other settings" in done.stdout
    assert done.stderr == ""


@pytest.mark.e2e
def test_without_the_right_to_set_anything_nothing_is_tried(fake_library: Path, tmp_path: Path) -> None:
    with plant_serving(fake_library, tmp_path, PREFILL_HEAVY) as (url, fake, _):
        fake.break_down(Fault("set_error", value=NO_PERMISSION))
        refused = tune(url, fake, "--apply", "--knob", "power_limit")
    assert refused.returncode == 1
    assert "root" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.e2e
def test_energy_that_nobody_measured_is_refused_and_labelled_where_it_is_allowed(
    fake_library: Path, tmp_path: Path
) -> None:
    with plant_serving(fake_library, tmp_path, PREFILL_HEAVY, "estimated") as (url, fake, _):
        refused = tune(url, fake)
        allowed = tune(url, fake, "--allow-estimated")
    assert refused.returncode == 1
    assert "the exporter's energy is estimated, not measured" in refused.stderr
    assert allowed.returncode == 0
    assert "The energy is estimated, not measured." in allowed.stdout


@pytest.mark.e2e
def test_without_a_gpu_or_an_exporter_it_says_so_in_a_line(fake_library: Path, tmp_path: Path) -> None:
    alone = tune("http://127.0.0.1:9", None)
    assert (alone.returncode, len(alone.stderr.splitlines())) == (1, 1)
    assert "only NVIDIA GPUs can be tuned" in alone.stderr
    fake = FakeNvml(fake_library, tmp_path)
    deaf = tune("http://127.0.0.1:9", fake)
    assert (deaf.returncode, len(deaf.stderr.splitlines())) == (1, 1)
    assert "no exporter answers at http://127.0.0.1:9/metrics" in deaf.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--objective", "p95"), "say a quantile and its limit"),
        (("--max-slowdown", "0.5"), "from 1 (not slower at all)"),
        (("--objective", "p95=2s", "--max-slowdown", "1.1"), "one of them"),
        (("--keep",), "only with --apply"),
        (("--seconds", "0"), "--seconds 0: at least 0.5"),
        (("--load", "http://127.0.0.1:9"), "--model NAME"),
        (("--load", "http://127.0.0.1:9", "--model", "m", "--output-tokens", "0"), "--output-tokens 0: at least 1"),
        (("--concurrency", "4"), "--concurrency: of no use without --load"),
        (("--user", "me"), "--user and --password-file: neither"),
        (("--insecure", "--ca-file", "ca.pem"), "--insecure and --ca-file: one of them"),
        (("--restore", "--apply"), "--restore and --apply: one of them"),
        (("--load", "nowhere", "--model", "m"), "--load: not the URL of a server"),
        (("--exporter", "nowhere"), "nowhere: no URL; it begins with http:// or https://"),
        (("--user", "me", "--password-file", "no-such-file"), "no-such-file cannot be read"),
    ],
)
def test_wrong_usage_is_refused_with_what_to_say(
    arguments: Sequence[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from exporter.cli import main  # noqa: PLC0415 - the other tests need no command line in this process

    assert main(["tune", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_what_was_put_back_is_json_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from exporter.cli import main  # noqa: PLC0415 - as above

    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    left = undo.write(tmp_path, undo.Undo("gpu0", "GPU-1", 700_000))
    left.path.write_text(left.path.read_text().replace('"boot": "', '"boot": "an earlier one '))
    assert main(["tune", "--restore", "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["restored"]
    assert said.startswith("gpu0: the machine was started anew")
    assert main(["tune", "--restore"]) == 0
    assert capsys.readouterr().out == "nothing was left to put back\n"
