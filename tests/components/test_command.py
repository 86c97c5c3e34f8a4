"""The real command: on a tiny real model where PyTorch is, and everything around it where it is not."""

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.cli import main
from exporter.components.actions.measuring import code_of
from exporter.components.actions.study import is_there
from exporter.components.book import Book
from exporter.components.metering import Place
from exporter.components.models import CATALOGUE, SMALL_CATALOGUE
from exporter.components.sweep import Order, Outcome
from exporter.dissections import files
from exporter.domain.dissection import Case, Dissection
from tests.dissections.examples import CPU, GPU, dissection, sweep


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    code = main(["components", *(str(one) for one in arguments)])
    return Said(code, *capsys.readouterr())


# --- a real model ---


class Ran(NamedTuple):
    folder: Path
    done: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A decoder of two blocks, measured at one length; another length is more than it has places for."""
    for library in ("torch", "transformers", "matplotlib"):
        pytest.importorskip(library)
    folder = tmp_path_factory.mktemp("out")
    sizes = ("--sequence", "8", "5000", "--quick", "--trials", "1", "--seconds", "0.1", "--rest", "0")
    place = ("--device", "cpu", "--source", "cpu", "--out", str(folder))
    command = (sys.executable, "-m", "exporter", "components", "measure", "gpt2-small", *sizes, *place)
    return Ran(folder, subprocess.run(command, capture_output=True, text=True, check=False, timeout=300))


def test_a_case_that_fails_is_said_and_makes_the_exit_code_1(ran: Ran) -> None:
    assert ran.done.returncode == 1, ran.done.stderr
    assert "failed: gpt2-small, prefill, batch 1, sequence 5000" in ran.done.stderr
    assert "1 of 2 cases failed" in ran.done.stderr


def test_where_every_case_failed_nothing_is_said_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = Order("gpt2-small", Case())
    assert code_of(Outcome(0, [(order, "too large")]), Book(tmp_path)) == 1
    assert capsys.readouterr().err == "llm-energy-exporter: 1 of 1 case failed\n"
    assert code_of(Outcome(1, [(order, "too large")]), Book(tmp_path)) == 1
    assert "1 of 2 cases failed; the others are in" in capsys.readouterr().err


def test_in_a_pipe_there_is_no_progress(ran: Ran) -> None:
    assert "\r" not in ran.done.stderr + ran.done.stdout
    assert "\x1b" not in ran.done.stderr + ran.done.stdout


def test_the_table_has_every_component_and_says_that_it_is_an_estimate(ran: Ran) -> None:
    for name in ("model", "embedding", "block", "attention", "mlp", "norm", "lm head", "capture:"):
        assert name in ran.done.stdout
    assert "ESTIMATED by a model of the device, not measured" in ran.done.stdout
    assert "ESTIMATED" in ran.done.stderr


def test_the_results_are_complete(ran: Ran) -> None:
    (one,) = files.read(ran.folder / "results.json")
    assert (one.model, one.architecture, one.weights, one.device.method) == (
        "gpt2-small",
        "decoder",
        "random",
        "estimated",
    )
    assert (one.case.phase, one.case.sequence, one.case.dtype) == ("prefill", 8, "float32")
    assert {"torch", "transformers"} <= one.software.keys()
    attention = one.component("attention")
    assert attention is not None
    assert attention.flops is not None
    assert attention.flops > 0
    assert len(attention.gross_joules.values) == 1
    assert min(attention.repetitions) > 1
    assert {capture.whole for capture in one.captures} == {"model", "block"}


def test_the_csv_has_a_row_a_component(ran: Ran) -> None:
    (one,) = files.read(ran.folder / "results.json")
    with (ran.folder / "components.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["component"] for row in rows] == [part.component for part in one.components]
    assert {row["method"] for row in rows} == {"estimated"}
    assert all(float(row["gross_joules"]) > 0.0 for row in rows)


def test_the_plots_are_there_and_say_that_it_is_an_estimate(ran: Ran) -> None:
    for name in ("shares", "joules_per_flop"):
        assert (ran.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "ESTIMATED" in (ran.folder / f"{name}.svg").read_text()


# --- around it ---


def test_the_list_has_all_fifteen(capsys: pytest.CaptureFixture[str]) -> None:
    answer = said(capsys, "list")
    assert answer.code == 0
    assert all(f"\n{name} " in answer.out for name in CATALOGUE)
    assert all(f"\n{name} " in said(capsys, "list", "--small").out for name in list(SMALL_CATALOGUE)[:3])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("measure", "no-such-model"), "no-such-model: neither a name that `components list` lists nor a directory"),
        (("measure", "gpt2-smal"), "config.json; did you mean gpt2-small or "),
        (("measure", "gpt2-small", "bert-base-small", "--weights", "/w"), "--weights are those of one model"),
        (("measure", "gpt2-small", "--seconds", "0"), "must be above 0"),
        (("study", "--out", "/x", "--seconds", "0"), "must be above 0"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], problem: str
) -> None:
    answer = said(capsys, *arguments)
    assert answer.code == 2
    assert problem in answer.err


@pytest.mark.parametrize("batch", ["0", "-1", "one", "1.5"])
def test_a_batch_is_a_whole_number(capsys: pytest.CaptureFixture[str], batch: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["components", "measure", "gpt2-small", f"--batch={batch}"])
    assert ended.value.code == 2
    assert "is no whole number above 0" in capsys.readouterr().err


def test_claims_are_held_against_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files.write(tmp_path / "results.json", [dissection(), dissection("b", attention=1.0)])
    answer = said(capsys, "claims", tmp_path)
    assert answer.code == 0
    assert "attention does not hold  holds 1, does not 1, not known 0" in answer.out
    assert ": CV " in answer.out
    assert ": J/FLOP x " in answer.out
    assert "energy: measured" in answer.out


def test_claims_write_a_report_with_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files.write(tmp_path / "results.json", sweep())
    answer = said(capsys, "claims", tmp_path / "results.json", "--out", tmp_path / "report", "--note", "On a Friday.")
    assert answer.code == 0
    page = (tmp_path / "report" / "report.md").read_text()
    assert "On a Friday." in page
    assert all((tmp_path / "report" / name).exists() for name in ("shares.svg", "scaling.png"))


def test_plots_stand_beside_the_results(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files.write(tmp_path / "results.json", [dissection()])
    answer = said(capsys, "plot", tmp_path / "results.json", "--format", "svg")
    assert answer.out.split() == [str(tmp_path / "shares.svg"), str(tmp_path / "joules_per_flop.svg")]


@pytest.mark.parametrize("action", ["plot", "claims"])
def test_a_foreign_file_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, action: str) -> None:
    (tmp_path / "foreign.json").write_text("[]")
    answer = said(capsys, action, tmp_path / "foreign.json")
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    assert "foreign.json" in answer.err


def test_a_study_passes_over_what_it_has_and_reports_on_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for library in ("torch", "transformers", "matplotlib"):
        pytest.importorskip(library)
    files.write(tmp_path / "results.json", [dissection("gpt2-small", Case(sequence=16, attention="eager"), device=CPU)])
    models = ("--models", "gpt2-small", "--phase", "prefill", "--sequence", "16", "--device", "cpu")
    answer = said(capsys, "study", "--out", tmp_path, *models)
    assert answer.code == 0
    assert "1 of 1 cases are in" in answer.err
    assert "ESTIMATED" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("one", "there"),
    [
        (dissection("m"), True),
        (dissection("m", Case(attention="eager")), True),
        (dissection("other"), False),
        (dissection("m", Case("decode")), False),
        (dissection("m", Case(dtype="float16")), False),
        (dissection("m", device=CPU), False),
        (replace(dissection("m"), launch="graph"), False),
        (replace(dissection("m"), weights="/w"), False),
        (replace(dissection("m"), device=replace(GPU, uuid="GPU-2")), False),
    ],
)
def test_only_the_same_measurement_on_the_same_device_is_passed_over(one: Dissection, *, there: bool) -> None:
    assert is_there(Order("m", Case()), one, Place("cuda:0", "GPU-1"), "eager") is there


def test_an_encoder_decodes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for library in ("torch", "transformers"):
        pytest.importorskip(library)
    answer = said(capsys, "measure", "bert-base-small", "--phase", "decode", "--out", tmp_path, "--device", "cpu")
    assert answer.code == 2
    assert "encoders read all tokens at once" in answer.err


def test_without_pytorch_the_way_to_get_it_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("exporter.components.models.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    answer = said(capsys, "measure", "gpt2-small", "--out", tmp_path)
    assert answer.code == 1
    assert "pip install 'llm-energy-exporter[components]'" in answer.err


def test_a_size_beside_models_that_say_their_own_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--out", str(tmp_path), "--models", "gpt2", "--size", "small", "--device", "cpu"]
    assert main(["components", "study", *asked]) == 2
    assert "--size: of no use with --models" in capsys.readouterr().err
