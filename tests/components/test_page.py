from dataclasses import replace
from pathlib import Path

from exporter.components.page import markdown
from exporter.domain.dissection import Case
from tests.dissections.examples import CPU, dissection, sweep


def test_the_machine_is_named() -> None:
    page = markdown([dissection()])
    assert "| Metered | gpu0 (NVIDIA H100 80GB HBM3), measured |" in page
    assert "| Processor | Example processor, 8 cores |" in page
    assert "torch 2.9.0, transformers 4.57.1" in page
    assert "| Cases | 1, of 1 models |" in page


def test_an_estimate_is_called_one_at_the_top_and_in_every_table() -> None:
    page = markdown([dissection(device=CPU), dissection("b", device=CPU)])
    assert "**The energy here is ESTIMATED" in page.split("## ", maxsplit=1)[0]
    assert page.count("ESTIMATED by a model of the device, not measured.") == 2
    assert "ESTIMATED" not in markdown([dissection()])


def test_claims_are_given_with_their_figures_and_denominators() -> None:
    page = markdown([dissection(), dissection("b", attention=1.0)])
    assert "Attention costs more joules per FLOP than every other component | **does not hold** | 1 | 1 | 0 |" in page
    assert "90% to 110% of the whole, replayed by itself | **does not hold**" in page
    assert "(of the block layers.0 run by itself): holds" in page
    assert "x 1.50 (attention (layers.0.self_attn) against lm head (lm_head)): holds" in page
    assert "x 0.50" in page


def test_pictures_that_are_there_are_shown(tmp_path: Path) -> None:
    page = markdown(sweep(), [tmp_path / "shares.png", tmp_path / "shares.svg", tmp_path / "scaling.png"])
    assert "![Where each model's energy goes](shares.svg)\n\n[PNG](shares.png)" in page
    assert "](scaling.png)" in page
    assert "joules_per_flop" not in page


def test_a_sweep_has_its_lines() -> None:
    page = markdown(sweep(at_rest=1.5))
    assert (
        "prefill, batch 1, float32 | sequence | attention `layers.0.self_attn` | 1.50 J | 1.00 uJ | 1.0000 | 4 |"
        in page
    )
    assert "E0 + k" not in markdown([dissection()])


def test_notes_stand_before_the_figures() -> None:
    page = markdown([dissection()], notes=["The machine was shared."])
    assert page.index("The machine was shared.") < page.index("## The paper's claims")


def test_every_table_has_rows_of_one_width() -> None:
    page = markdown([*sweep(), dissection(case=Case("decode"))])
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 6
    assert all(len({row.count("|") for row in table}) == 1 for table in tables)


def test_no_path_of_this_machine_is_told() -> None:
    page = markdown([replace(dissection(), weights="/home/somebody/weights-of-it")])
    assert "/home/somebody" not in page
    assert "weights-of-it" in page
