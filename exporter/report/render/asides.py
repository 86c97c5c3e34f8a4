"""What is said aside of a table's rows: beneath each, or, where rows would repeat each other, once and numbered."""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.report.render.document import Cell, Column, Table, plain


@dataclass(frozen=True, slots=True)
class Parted:
    """A table in two parts.

    Attributes:
        columns, rows: without those that are said aside.
        beneath: what is said aside of each row; empty where nothing is, or where it is numbered.
        marks: the number of each row's note, or None; empty where notes are not numbered.
        notes: by number, from 1 on.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    beneath: Sequence[str]
    marks: Sequence[int | None]
    notes: Sequence[str]


def parted(table: Table) -> Parted:
    """What stands in the rows, and what is said aside."""
    inside = [index for index, column in enumerate(table.columns) if not column.aside]
    aside = [index for index, column in enumerate(table.columns) if column.aside]
    said = [_said(table, row, aside) for row in table.rows]
    columns = [table.columns[index] for index in inside]
    rows = [[row[index] for index in inside] for row in table.rows]
    distinct = list(dict.fromkeys(text for text in said if text))
    if len(distinct) == sum(map(bool, said)):
        return Parted(columns, rows, said, (), ())
    numbers = {text: number for number, text in enumerate(distinct, 1)}
    return Parted(columns, rows, [""] * len(rows), [numbers.get(text) for text in said], distinct)


def _said(table: Table, row: Sequence[Cell], aside: Sequence[int]) -> str:
    """Named, where there are several."""
    known = [(table.columns[index].head, plain(row[index])) for index in aside if plain(row[index])]
    return "; ".join(f"{name} {text}" if len(aside) > 1 else text for name, text in known)
