"""Pieces of HTML that the page is made of. What goes in as `text` is escaped here; `html` was escaped before."""

from collections.abc import Callable, Iterable, Sequence
from html import escape

NOTHING = "\N{EN DASH}"


_DOCUMENT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">{head}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def document(title: str, style: str, body: str, *, head: str = "") -> str:
    """A whole page. `title` is text; `style` is CSS, `body` and `head` are HTML."""
    return _DOCUMENT.format(title=escape(title), style=style, body=body, head=head)


def section(title: str, *html: str) -> str:
    """A part of the page under its heading."""
    return f"<section><h2>{title}</h2>{''.join(html)}</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], empty: str, texts: Sequence[int]) -> str:
    """Cells are HTML already. Columns `texts` hold words, the others numbers."""
    lines = [_row("td", row, texts) for row in rows]
    if not lines:
        return f"<p>{empty}</p>"
    headed = f"<thead>{_row('th', head, texts)}</thead>"
    return f'<div class="wide"><table>{headed}<tbody>{"".join(lines)}</tbody></table></div>'


def warning(loud: str, text: str) -> str:
    """What a reader must not overlook."""
    return f'<p class="warning"><strong>{escape(loud)}</strong> {escape(text)}</p>'


def key(css_class: str, html: str) -> str:
    """An entry of a legend: a patch of the colour that stands for it, and what it stands for."""
    patch = f'<rect class="{css_class}" width="8" height="8"/>'
    return f'<li><svg class="key" viewBox="0 0 8 8" aria-hidden="true">{patch}</svg> {html}</li>'


def legend(keys: Iterable[str]) -> str:
    """Keys in a row."""
    return f'<ul class="legend">{"".join(keys)}</ul>'


def named(text: str, uuid: str = "") -> str:
    """A device's name; its identity is told to those who point at it."""
    return f'<b title="{escape(uuid)}">{escape(text)}</b>' if uuid else f"<b>{escape(text)}</b>"


def strong(html: str) -> str:
    """What matters in its row."""
    return f"<strong>{html}</strong>"


def code(text: str) -> str:
    """A word of the configuration."""
    return f"<code>{escape(text)}</code>"


def how_known(text: str) -> str:
    """How energy came to be known: plain where it was measured, loud where it was not."""
    return escape(text) if text == "measured" else f'<span class="estimated">{escape(text.replace("_", " "))}</span>'


def or_nothing(value: float | None, written: Callable[[float], str]) -> str:
    """A quantity, or a dash where it is not known."""
    return NOTHING if value is None else written(value)


def _row(tag: str, cells: Sequence[str], texts: Sequence[int]) -> str:
    kinds = ("" if index in texts else ' class="number"' for index in range(len(cells)))
    return f"<tr>{''.join(f'<{tag}{kind}>{cell}</{tag}>' for kind, cell in zip(kinds, cells, strict=True))}</tr>"
