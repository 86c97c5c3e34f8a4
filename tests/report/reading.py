"""Reports read back: what a person or a program takes out of each format."""

import json
import re
from collections.abc import Mapping
from html import unescape
from html.parser import HTMLParser

ROWS = ("metered", "requests", "idle", "unattributed", "unsettled")
_NAMED = "|".join(ROWS)
_NUMBER = r"-?[0-9][0-9 \u202f]*\.[0-9]"


def joules_of_books(text: str, how: str) -> dict[str, float]:
    """The rows of the books, in joules."""
    return _READERS[how](text)


class Cells(HTMLParser):
    """Rows of all tables, as the words that a reader sees; and every tag there is."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self._cell: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.rows[-1].append("".join(self._cell))
            self._cell = None


def _of_text(text: str) -> dict[str, float]:
    found = re.findall(rf"^({_NAMED}) +[^\n]*? [A-Za-z]+  +({_NUMBER})", text, re.MULTILINE)
    return {name: _number(number) for name, number in found[: len(ROWS)]}


def _of_markdown(text: str) -> dict[str, float]:
    found = re.findall(rf"^\| ({_NAMED}) \|[^|]*\| ({_NUMBER}) \|", text, re.MULTILINE)
    return {name: _number(number) for name, number in found}


def _of_html(text: str) -> dict[str, float]:
    rows = (row for row in Cells(text).rows if len(row) == 4 and row[0] in ROWS)
    return {row[0]: _number(unescape(row[2])) for row in rows}


def _of_json(text: str) -> dict[str, float]:
    totals = json.loads(text)["totals"]
    named = ("metered", "request", "idle", "unattributed", "unsettled")
    return {row: totals[f"{name}_joules"] for row, name in zip(ROWS, named, strict=True)}


def _number(text: str) -> float:
    return float(re.sub(r"[ \u202f]", "", text))


_READERS = {"text": _of_text, "markdown": _of_markdown, "html": _of_html, "json": _of_json}
