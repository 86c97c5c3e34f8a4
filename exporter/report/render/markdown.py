"""For an issue, a wiki, a pull request: tables as GitHub reads them."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from exporter.report.render.asides import parted
from exporter.report.render.document import Caution, Cell, Column, Document, Loud, Section, Table

_MARKS = re.compile(r"([\\`*_\[\]()#~|!{}])")
_SPACE = re.compile(r"\s+")


def render(document: Document) -> str:
    """All of it."""
    blocks = [
        f"# {escaped(document.title)}",
        *map(escaped, document.about),
        *map(_warned, document.cautions),
        *(block for section in document.sections for block in _section(section)),
        "---",
        *map(escaped, document.notices),
    ]
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    """Words that mean themselves, on one line: no marks, no tags, no new cell."""
    seen = "".join(sign if sign.isprintable() else " " for sign in _SPACE.sub(" ", text))
    return _MARKS.sub(r"\\\1", escape(seen, quote=False))


def _warned(caution: Caution) -> str:
    return f"> **{escaped(caution.loud)}** {escaped(caution.text)}"


def _section(section: Section) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    for part in section.parts:
        if isinstance(part, Table):
            yield from _table(part)
        elif isinstance(part, str):
            yield escaped(part)


def _table(table: Table) -> Iterator[str]:
    """What is said aside has columns of its own; what would be said again and again is numbered."""
    parts = parted(table)
    if not parts.marks:
        yield "\n".join(_rows(table.columns, table.rows))
        return
    marks = [f"{mark}" if mark else "" for mark in parts.marks]
    rows = [[*row, mark] for row, mark in zip(parts.rows, marks, strict=True)]
    yield "\n".join(_rows([*parts.columns, Column("note")], rows))
    yield "\n".join(f"{number}. {escaped(note)}" for number, note in enumerate(parts.notes, 1))


def _rows(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    yield _row(escaped(column.head) for column in columns)
    yield _row("---" if column.words else "---:" for column in columns)
    for row in rows:
        yield _row(map(_cell, row))


def _cell(cell: Cell) -> str:
    return f"**{escaped(cell.text)}**" if isinstance(cell, Loud) else escaped(cell)


def _row(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"
