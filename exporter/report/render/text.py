"""For a terminal: at most 110 columns, nothing in it that a terminal would obey."""

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from unicodedata import category

from exporter.report.render.asides import parted
from exporter.report.render.document import Caution, Cell, Column, Document, Section, Table, plain

WIDTH = 110
_GAP = "  "
_INDENT = "    "


def render(document: Document) -> str:
    """All of it."""
    lines = [
        *_underlined(document.title, "="),
        *(line for text in document.about for line in _wrapped(text)),
        *(line for caution in document.cautions for line in _warned(caution)),
        *(line for section in document.sections for line in _section(section)),
        "",
        *(line for text in document.notices for line in _wrapped(text)),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def printable(text: str) -> str:
    """A name without line breaks, colours and whatever else a terminal would obey; all its spaces are plain."""
    return "".join(map(_printable, text))


def _printable(sign: str) -> str:
    if category(sign) == "Zs":
        return " "
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


def _underlined(title: str, with_what: str) -> list[str]:
    lines = _wrapped(title)
    return [*lines, with_what * max(map(len, lines), default=0)]


def _wrapped(text: str, indent: str = "", hanging: str = "") -> list[str]:
    return wrap(printable(text), WIDTH, initial_indent=indent, subsequent_indent=indent + hanging) or [""]


def _warned(caution: Caution) -> Iterator[str]:
    yield ""
    yield from _wrapped(f"!! {caution.loud} {caution.text}", hanging="   ")


def _section(section: Section) -> Iterator[str]:
    yield ""
    yield from _underlined(section.title, "-")
    for part in section.parts:
        if isinstance(part, Table):
            yield from _table(part)
        elif isinstance(part, str):
            yield from _wrapped(part)


def _table(table: Table) -> Iterator[str]:
    parts = parted(table)
    columns = [*parts.columns, *([Column("", words=True)] if parts.marks else [])]
    head = [column.head for column in columns]
    marks = [[f"[{mark}]" if mark else ""] for mark in parts.marks] or [[] for _ in parts.rows]
    rows = [[*map(_cell, row), *mark] for row, mark in zip(parts.rows, marks, strict=True)]
    widths, words = _widths([head, *rows]), [column.words for column in columns]
    if any(head):
        yield from _row(head, widths, words)
    yield _GAP.join("-" * width for width in widths)
    for row, beneath in zip(rows, parts.beneath, strict=True):
        yield from _row(row, widths, words)
        if beneath:
            yield from _wrapped(beneath, _INDENT)
    for number, note in enumerate(parts.notes, 1):
        yield from _wrapped(f"[{number}] {note}", hanging=_INDENT)


def _cell(cell: Cell) -> str:
    return printable(plain(cell))


def _widths(rows: Iterable[Sequence[str]]) -> list[int]:
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [min(first, max(WIDTH - sum(others) - len(_GAP) * len(others), 0)), *others]


def _row(cells: Sequence[str], widths: Sequence[int], words: Sequence[bool]) -> Iterator[str]:
    """A name that is too long has lines of its own."""
    first, *others = cells
    if len(first) > widths[0]:
        yield from wrap(first, WIDTH)
        first = ""
    aligned = (
        cell.ljust(width) if is_words else cell.rjust(width)
        for cell, width, is_words in zip((first, *others), widths, words, strict=True)
    )
    yield _GAP.join(aligned)
