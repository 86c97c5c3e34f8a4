from dataclasses import replace

from exporter.components.fit import lines
from exporter.components.table import READING, fits, ordered, table
from exporter.domain.dissection import Case, Trials
from tests.dissections.examples import CPU, component, dissection, sweep


def test_a_table_fits_a_terminal() -> None:
    long = replace(dissection(), components=(*dissection().components, component("mlp", 1.0, path="a.very.long" * 9)))
    assert max(len(line) for line in (*table(long), *READING)) <= 120


def test_every_component_stands_under_what_it_is_part_of() -> None:
    shown = [(depth, part.component) for depth, part in ordered(dissection())]
    assert shown == [
        (0, "model"),
        (1, "block"),
        (2, "attention"),
        (2, "mlp"),
        (2, "norm"),
        (1, "embedding"),
        (1, "lm_head"),
    ]


def test_parts_of_two_kinds_of_blocks_stand_under_their_own() -> None:
    model = component("model", 9.0, part_of=None, path="")
    blocks = [component("block", 2.0, part_of="model", path=f"{side}.0") for side in ("enc", "dec")]
    inside = [component("attention", 1.0, path=f"{side}.0.attn") for side in ("enc", "dec")]
    shown = ordered(replace(dissection(), components=(model, *blocks, *inside)))
    assert [part.path for _, part in shown] == ["", "enc.0", "enc.0.attn", "dec.0", "dec.0.attn"]


def test_everything_is_said_with_its_unit() -> None:
    text = "\n".join(table(dissection()))
    row = next(line for line in text.splitlines() if "attention" in line)
    assert " ".join(row.split()).endswith("1 3.00 J 2.25 J 2.0 % 37.5 % 7.50 ms 2.00 M 1.50 uJ")
    assert "124 million parameters, random weights" in text
    assert "energy of gpu0 (NVIDIA H100 80GB HBM3): measured" in text
    assert "attention, mlp, norm are 93.8 % of the block layers.0 run by itself (net 93.8 %)" in text


def test_an_estimate_is_called_one() -> None:
    assert any("ESTIMATED by a model of the device, not measured" in line for line in table(dissection(device=CPU)))


def test_what_is_not_known_is_a_dash() -> None:
    once = replace(component("norm", 1.0, flops=None), gross_joules=Trials((1.0,)))
    whole = replace(dissection().components[0], gross_joules=Trials((2.0,)))
    rows = table(replace(dissection(), components=(whole, replace(once, part_of="model"))))
    norm = next(line for line in rows if "norm" in line)
    assert norm.split()[-2:] == ["-", "-"]
    assert "1 trial;" in "\n".join(rows)


def test_fits_are_said_per_sweep() -> None:
    told = fits(lines(sweep(at_rest=1.5)))
    assert told[1] == "  example-decoder: prefill, batch 1, float32, sequence swept"
    attention = next(line for line in told if "attention" in line)
    assert "E0    1.50 J" in attention
    assert "k   1.00 uJ/FLOP" in attention
    assert "R2 1.0000 (4 sizes)" in attention
    assert fits([]) == []


def test_decode_has_a_cache() -> None:
    assert "decode, batch 1, cache 128" in table(dissection(case=Case("decode")))[1]
