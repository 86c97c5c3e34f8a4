"""One file for a browser or a printer: no script, nothing from elsewhere, light or dark as the reader's system is."""

from collections.abc import Iterator, Sequence
from html import escape

from exporter.report.render.asides import Parted, parted
from exporter.report.render.document import Bar, Cell, Column, Document, Loud, Section, Table
from exporter.report.render.style import STYLE
from exporter.server.pieces import document as page
from exporter.server.pieces import key, legend, warning

_BAR_WIDTH = 1000.0
_BAR_HEIGHT = 28
_NARROW = 2


def render(document: Document) -> str:
    """All of it."""
    body = "\n".join(
        [
            f"<header><h1>{escape(document.title)}</h1>",
            *(f"<p>{escape(text)}</p>" for text in document.about),
            "</header>",
            *(warning(one.loud, one.text) for one in document.cautions),
            *map(_section, document.sections),
            "<footer>",
            *(f"<p>{escape(text)}</p>" for text in document.notices),
            "</footer>",
        ]
    )
    return page(document.title, STYLE, body, head=_POLICY)


_POLICY = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"


def _section(section: Section) -> str:
    parts = (_table(part) if isinstance(part, Table) else _other(part) for part in section.parts)
    return f"<section><h2>{escape(section.title)}</h2>{''.join(parts)}</section>"


def _other(part: str | Bar) -> str:
    return _bar(part) if isinstance(part, Bar) else f"<p>{escape(part)}</p>"


def _table(table: Table) -> str:
    parts = parted(table)
    heads = [escape(column.head) for column in parts.columns]
    head = f"<thead>{_row('th', heads, parts.columns)}</thead>" if any(heads) else ""
    rows = (_row("td", cells, parts.columns) for cells in _cells(parts))
    narrow = ' class="narrow"' if len(parts.columns) == _NARROW else ""
    body = f'<div class="wide"><table{narrow}>{head}<tbody>{"".join(rows)}</tbody></table></div>'
    return body + "".join(
        f'<p class="note"><sup>{number}</sup> {escape(note)}</p>' for number, note in enumerate(parts.notes, 1)
    )


def _cells(parts: Parted) -> Iterator[list[str]]:
    """What is said aside stands beneath the row's name, or is pointed at from it."""
    marks = [f"<sup>{mark}</sup>" if mark else "" for mark in parts.marks] or [""] * len(parts.rows)
    for row, beneath, mark in zip(parts.rows, parts.beneath, marks, strict=True):
        first, *others = map(_cell, row)
        yield [first + mark + (f"<small>{escape(beneath)}</small>" if beneath else ""), *others]


def _row(tag: str, cells: Sequence[str], columns: Sequence[Column]) -> str:
    marked = (
        f"<{tag}>{cell}</{tag}>" if column.words else f'<{tag} class="number">{cell}</{tag}>'
        for cell, column in zip(cells, columns, strict=True)
    )
    return f"<tr>{''.join(marked)}</tr>"


def _cell(cell: Cell) -> str:
    return f'<span class="estimated">{escape(cell.text)}</span>' if isinstance(cell, Loud) else escape(cell)


def _bar(bar: Bar) -> str:
    said = ", ".join(f"{name} {part:.1f} J" for name, part in bar.parts)
    frame = f'class="shares" viewBox="0 0 {_BAR_WIDTH:.0f} {_BAR_HEIGHT}" preserveAspectRatio="none"'
    drawn = f'<svg {frame} role="img" aria-label="{escape(said)}">{"".join(_pieces(bar))}</svg>'
    return drawn + legend(key(name, f"<b>{escape(name)}</b>") for name, _ in bar.parts)


def _pieces(bar: Bar) -> Iterator[str]:
    """What is below nothing, as unsettled energy may be, is not drawn."""
    whole = sum(part for _, part in bar.parts if part > 0.0) or 1.0
    left = 0.0
    for name, part in bar.parts:
        width = _BAR_WIDTH * max(part, 0.0) / whole
        yield f'<rect class="{name}" x="{left:.2f}" width="{width:.2f}" height="{_BAR_HEIGHT}"/>'
        left += width
