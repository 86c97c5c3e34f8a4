"""Writes all that is generated for the chart and the examples: `python -m deploy.sync`.

A chart cannot read files outside itself, so it holds copies of the rules and of the dashboards.
"""

from pathlib import Path

from deploy import manifests, readme, schema
from deploy.places import CHART, RULES, Written, dashboards


def written() -> Written:
    """Every generated file that does not need the chart to be in order."""
    return copies() | schema.written() | readme.written()


def copies() -> Written:
    """Rules and dashboards, as the chart has them."""
    rules = {CHART / "files" / "rules" / file.name: file.read_text() for file in RULES}
    return rules | {CHART / "dashboards" / file.name: file.read_text() for file in dashboards()}


def strays() -> list[Path]:
    """Copies of what is gone."""
    there = [*(CHART / "files" / "rules").glob("*.yml"), *(CHART / "dashboards").glob("*.json")]
    return [file for file in there if file not in copies()]


def _write(files: Written) -> None:
    for path, text in files.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(path)


if __name__ == "__main__":
    for stray in strays():
        stray.unlink()
    _write(written())
    _write(manifests.written())  # rendered by the chart, so after it
