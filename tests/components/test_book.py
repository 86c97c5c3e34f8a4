import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.components.book import Book, read_all
from exporter.components.rows import COLUMNS, csv_text
from exporter.dissections import files
from exporter.domain.dissection import Case, Dissection, Trials
from exporter.domain.errors import ComponentsError
from tests.dissections.examples import CPU, dissection


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_results_are_there_after_every_one_of_them(tmp_path: Path) -> None:
    book = Book(tmp_path / "out")
    for number, model in enumerate(("a", "b"), 1):
        book.add(dissection(model))
        assert len(files.read(book.path)) == number
        assert len({row["model"] for row in rows((tmp_path / "out" / "components.csv").read_text())}) == number


def test_a_case_that_is_measured_again_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    Book(tmp_path).add(dissection(attention=1.0))
    book = Book(tmp_path)
    book.add(dissection(attention=2.0))
    book.add(dissection(case=Case(batch=2)))
    assert [one.case.batch for one in files.read(book.path)] == [1, 2]
    assert files.read(book.path)[0] == dissection(attention=2.0)


@pytest.mark.parametrize(
    "other",
    [
        dissection(shape={"heads": 2}),
        dissection(device=CPU),
        replace(dissection(), weights="/weights"),
        replace(dissection(), launch="graph"),
    ],
)
def test_what_differs_is_kept_apart(tmp_path: Path, other: Dissection) -> None:
    book = Book(tmp_path)
    book.add(dissection())
    book.add(other)
    assert len(book.results) == 2


def test_a_broken_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ComponentsError, match=r"results\.json"):
        Book(tmp_path)
    assert (tmp_path / "results.json").read_text() == "{"


def test_several_files_are_read_as_one_and_the_later_of_two_alike_counts(tmp_path: Path) -> None:
    files.write(tmp_path / "a" / "results.json", [dissection(began=2.0, attention=5.0)])
    files.write(tmp_path / "b.json", [dissection(began=1.0), dissection("b")])
    found = read_all([tmp_path / "a", tmp_path / "b.json"])
    assert found == [dissection(began=2.0, attention=5.0), dissection("b")]


def test_nothing_at_all_is_said(tmp_path: Path) -> None:
    files.write(tmp_path / "results.json", [])
    with pytest.raises(ComponentsError, match="no results"):
        read_all([tmp_path])


def test_the_csv_has_a_row_a_component_and_numbers_to_their_last_digit() -> None:
    one = dissection()
    table = rows(csv_text([one, dissection(case=Case("decode"))]))
    assert len(table) == 2 * len(one.components)
    attention = next(row for row in table if row["component"] == "attention")
    assert tuple(attention) == COLUMNS
    assert float(attention["gross_joules"]) == one.components[2].gross_joules.mean
    assert float(attention["gross_joules_per_flop"]) == one.components[2].gross_joules_per_flop
    assert (attention["part_of"], attention["module"], attention["method"]) == (
        "block",
        "layers.0.self_attn",
        "measured",
    )


def test_in_the_csv_what_is_not_known_is_empty_and_an_estimate_is_called_one() -> None:
    one = dissection(device=CPU)
    once = replace(one, components=tuple(replace(part, gross_joules=Trials((1.0,))) for part in one.components))
    table = rows(csv_text([once]))
    norm = next(row for row in table if row["component"] == "norm")
    assert (norm["flops"], norm["gross_joules_per_flop"], norm["gross_cv"]) == ("", "", "")
    assert {row["method"] for row in table} == {"estimated"}


def test_in_the_csv_a_capture_stands_by_its_whole() -> None:
    table = rows(csv_text([dissection(block=8.0)]))
    block = next(row for row in table if row["component"] == "block")
    assert float(block["capture_gross_ratio"]) == pytest.approx(7.5 / 8.0)
    assert block["capture_parts"] == "attention mlp norm"
    assert [row["capture_gross_ratio"] for row in table if row["component"] == "mlp"] == [""]
