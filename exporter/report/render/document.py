"""A report as a document, before it is known how it will look: what the terminal, Markdown and HTML have in common."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loud:
    """A cell that must not be overlooked: how energy came to be known, where nobody measured it."""

    text: str


Cell = str | Loud


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        head: its name. words: holds words, not numbers.
        aside: said beneath its row where a line is short of room.
    """

    head: str
    words: bool = False
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as long as there are columns."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Bar:
    """Shares of a whole, to be drawn where that can be: names and joules, in order."""

    parts: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Caution:
    """What a reader must not overlook. `loud`: its first words."""

    loud: str
    text: str


Part = str | Table | Bar


@dataclass(frozen=True, slots=True)
class Section:
    """Something under a heading. A string is a paragraph."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Document:
    """All of it, in order.

    Attributes:
        title: in a line. about: what it is about, a sentence each.
        cautions: the gravest first. sections: in order. notices: licences, and who made it.
    """

    title: str
    about: Sequence[str]
    cautions: Sequence[Caution]
    sections: Sequence[Section]
    notices: Sequence[str]


def plain(cell: Cell) -> str:
    """Its words."""
    return cell.text if isinstance(cell, Loud) else cell
