"""The table of values in the chart's README, from values.yaml.

A comment that begins with `# --` describes the key below it, up to that key. Keys without one are only the way to
those below them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from deploy.places import CHART, Written
from deploy.schema import alerts

README = CHART / "README.md"
VALUES = CHART / "values.yaml"

_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_NESTED = 2  # spaces a level


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart: its path (`gpu.cdi.device`), its meaning, its default."""

    path: str
    meaning: str
    default: Any

    @property
    def row(self) -> str:
        """It as a row of the table."""
        default = json.dumps(self.default, ensure_ascii=False).replace("|", "\\|")
        return f"| `{self.path}` | {self.meaning.replace('|', chr(92) + '|')} | `{default}` |"


def values(text: str) -> Iterator[Value]:
    """Every value that is described, in order."""
    tree = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        found = _KEY.match(line)
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped.removeprefix("# "))
        elif found:
            path = [*path[: len(found[1]) // _NESTED], found[2]]
            if comment:
                yield Value(".".join(path), " ".join(comment), _at(tree, path))
            comment = []


def _at(tree: Any, path: list[str]) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def written() -> Written:
    """The README with its tables."""
    table = "\n".join(["| value | meaning | default |", "|---|---|---|", *(v.row for v in values(VALUES.read_text()))])
    listed = "\n".join(f"- `{name}`" for name in alerts())
    text = _between(README.read_text(), "values", table)
    return {README: _between(text, "alerts", listed)}


def _between(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}: generated -->\n", f"\n<!-- {name}: end -->"
    before, after = text.index(begin) + len(begin), text.index(end)
    return f"{text[:before]}{content}{text[after:]}"
