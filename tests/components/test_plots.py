import re
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.components.plots import draw, shares_of_model
from exporter.domain.dissection import Case
from tests.dissections.examples import CPU, component, dissection, sweep

pytest.importorskip("matplotlib")

PNG = b"\x89PNG\r\n\x1a\n"


def svgs(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in folder.glob("*.svg")}


def test_every_figure_comes_in_both_formats(tmp_path: Path) -> None:
    files = draw(sweep(), tmp_path / "new")
    names = {"shares", "joules_per_flop", "scaling"}
    assert {path.name for path in files} == {f"{name}.{ending}" for name in names for ending in ("png", "svg")}
    assert all(path.read_bytes().startswith(PNG) for path in files if path.suffix == ".png")
    assert all(path.stat().st_size < 150_000 for path in files)


def test_an_estimate_is_called_one_in_every_figure(tmp_path: Path) -> None:
    draw([replace(one, device=CPU) for one in sweep()], tmp_path, ("svg",))
    assert len(svgs(tmp_path)) == 3
    assert all("ESTIMATED by a model of the device, not measured" in text for text in svgs(tmp_path).values())


def test_what_was_measured_is_not_called_an_estimate(tmp_path: Path) -> None:
    draw(sweep(), tmp_path, ("svg",))
    assert not any("ESTIMATED" in text for text in svgs(tmp_path).values())
    assert all("NVIDIA H100" in text for text in svgs(tmp_path).values())


def test_units_and_components_are_named(tmp_path: Path) -> None:
    draw([dissection(), dissection(case=Case("decode"))], tmp_path, ("svg",))
    shown = svgs(tmp_path)
    assert {"prefill", "decode", "attention", "mlp", "lm head", "example-decoder"} <= _texts(shown["shares"])
    assert "gross joules per FLOP of one run (log scale)" in _texts(shown["joules_per_flop"])


def _texts(svg: str) -> set[str]:
    return set(re.findall(r">([^<>\n]+)</text>", svg))


def test_without_a_sweep_there_is_no_line_to_draw(tmp_path: Path) -> None:
    assert {path.stem for path in draw([dissection()], tmp_path, ("png",))} == {"shares", "joules_per_flop"}


def test_without_flops_there_is_no_price_of_one(tmp_path: Path) -> None:
    one = dissection()
    uncounted = replace(one, components=tuple(replace(part, flops=None) for part in one.components))
    assert [path.stem for path in draw([uncounted], tmp_path, ("png",))] == ["shares"]


def test_the_same_results_make_the_same_file(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in draw(sweep(), tmp_path / "a", ("svg",))]
    assert first == [path.read_bytes() for path in draw(sweep(), tmp_path / "b", ("svg",))]


def test_shares_count_each_component_once_and_as_often_as_the_model_runs_it() -> None:
    shares = shares_of_model(dissection(block=8.0))
    model = 4.2 * 8.0 + 2.1
    assert shares["attention"] == pytest.approx(4 * 3.0 / model)
    assert shares["norm"] == pytest.approx(4 * 2 * 0.25 / model)
    assert "block" not in shares, "its parts are shown"
    assert sum(shares.values()) < 1.0


def test_a_block_that_was_not_opened_is_shown_itself() -> None:
    one = dissection()
    closed = replace(one, components=tuple(part for part in one.components if part.part_of != "block"))
    assert shares_of_model(closed)["block"] == pytest.approx(4 * 8.0 / (4.2 * 8.0 + 2.1))


def test_encoder_and_decoder_blocks_each_count_for_themselves() -> None:
    one = dissection()
    model = component("model", 100.0, part_of=None, path="")
    blocks = [
        component("block", 10.0, part_of="model", instances=n, path=f"{side}.0") for side, n in (("e", 2), ("d", 3))
    ]
    inside = [component("attention", 4.0, path=f"{side}.0.attn") for side in ("e", "d")]
    both = replace(one, components=(model, *blocks, *inside))
    assert shares_of_model(both)["attention"] == pytest.approx((2 + 3) * 4.0 / 100.0)
