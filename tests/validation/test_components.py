"""Which models are taken apart and for how long, what is made of the results, and all of it once on the fake board."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.components.models import CATALOGUE
from exporter.dissections.files import read
from exporter.domain.dissection import Case
from tests.dissections.examples import dissection
from tests.validation.stages import MACHINE
from validation import machine
from validation.components import stage
from validation.components.findings import checks, figures, tables
from validation.components.orders import LEAST_SECONDS, MOST_SECONDS, WANTED, case_seconds, orders, plan_for
from validation.components.stage import PICTURE, RESULT, _kept
from validation.fake import plugged_in
from validation.files import MOST_FILES
from validation.options import Options
from validation.stage import Room

REAL = orders(fake=False)


def room(folder: Path, seconds: float = 100.0) -> Room:
    (folder / "out").mkdir(exist_ok=True)
    (folder / "scratch").mkdir(exist_ok=True)
    until = time.monotonic() + seconds
    return Room(folder / "out", folder / "scratch", until, time.monotonic, time.sleep, MACHINE, lambda _: None)


def test_all_four_architectures_come_first() -> None:
    first = {CATALOGUE[one.order.model].architecture for one in REAL[:4]}
    assert first == {"decoder", "encoder", "mixture_of_experts", "encoder_decoder"}


def test_one_of_the_wanted_is_launched_both_ways() -> None:
    wanted = [(one.order, one.launch) for one in REAL[:WANTED]]
    assert any((order, "graph") in wanted for order, launch in wanted if launch == "eager")


def test_every_model_is_in_the_list_and_no_case_twice() -> None:
    assert {one.order.model for one in REAL} == set(CATALOGUE)
    assert len({one.words() for one in REAL}) == len(REAL)
    assert not any(CATALOGUE[one.order.model].architecture == "encoder" and "decode" in one.words() for one in REAL)


def test_the_more_time_the_longer_each_part_is_measured() -> None:
    plans = [plan_for(seconds, len(REAL)) for seconds in (10.0, 100.0, 200.0, 300.0, 3000.0)]
    lengths = [plan.counter_seconds for plan in plans]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (LEAST_SECONDS, MOST_SECONDS)
    assert all(plan.trials == 3 for plan in plans)


@pytest.mark.parametrize("seconds", [200.0, 300.0])
def test_what_is_wanted_fits_into_the_time_that_it_was_planned_for(seconds: float) -> None:
    assert 0.9 * seconds < WANTED * case_seconds(plan_for(seconds, len(REAL))) <= 1.05 * seconds


def test_claims_that_hold_hold() -> None:
    found = {check.name: check.held for check in checks([dissection(attention=30.0, block=34.0)])}
    assert list(found.values()) == [True, True, True]


@pytest.mark.parametrize(
    ("broken", "claim"),
    [
        (dissection(attention=30.0, block=34.0, spread=0.3), "CLEAR: components vary little"),
        (dissection(attention=30.0, block=60.0), "CLEAR: components sum up to the whole"),
        (dissection(attention=0.5, block=5.0), "CLEAR: attention costs the most joules per FLOP"),
    ],
)
def test_one_model_for_which_a_claim_does_not_hold_is_enough(broken: object, claim: str) -> None:
    good = dissection(attention=30.0, block=34.0)
    (found,) = (check for check in checks([good, broken]) if check.name == claim)  # type: ignore[list-item]
    assert found.held is False
    assert "holds in 1, does not in 1" in found.found


def test_nothing_is_claimed_of_nothing() -> None:
    assert [check.held for check in checks([])] == [None, None, None]
    assert [figure.value for figure in figures([])] == [0.0]


def test_every_component_has_a_row() -> None:
    one = dissection(case=Case("decode"))
    found = tables([one])
    assert len(found["Components"]) == len(one.components)
    assert found["Components: cases"][0]["case"].startswith("example-decoder, decode")


def test_without_pytorch_or_a_gpu_it_says_what_is_missing() -> None:
    wanted = stage(Options())
    assert not wanted.unable(MACHINE)
    assert "no PyTorch" in wanted.unable(replace(MACHINE, torch=""))
    assert "no NVIDIA GPU" in wanted.unable(replace(MACHINE, gpu=""))


def test_the_picture_is_what_is_left_out_where_there_are_files_enough(tmp_path: Path) -> None:
    here = room(tmp_path)
    assert _kept([dissection()], here) == ((RESULT, PICTURE), "")
    assert read(here.out / RESULT) == (dissection(),)
    (here.out / PICTURE).unlink()
    for number in range(MOST_FILES - 1):
        (here.out / f"{number}").touch()
    names, why = _kept([dissection()], here)
    assert names == (RESULT,)
    assert "components plot" in why


def test_a_process_that_finds_nothing_is_a_failure_with_its_words(tmp_path: Path) -> None:
    """Without a fake board there is nothing to meter here; on a machine with a GPU it has no time."""
    with pytest.raises(RuntimeError, match=r"failed: |ended"):
        stage(Options(fake=True)).run(room(tmp_path, 8.0))


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("gcc") is None, reason="the fake NVML is C")
def test_a_little_model_is_taken_apart_on_the_fake_board(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    here = room(tmp_path, 90.0)  # it is over when the model is
    with plugged_in(tmp_path / "nvml"):
        found = stage(Options(fake=True)).run(replace(here, machine=machine.look(fake=True)))
    assert found.files == (RESULT, PICTURE)
    results = read(here.out / RESULT)
    assert results
    assert {one.device.model for one in results} == {"FAKE H200 (made-up watts)"}
    assert len(found.checks) == 3
