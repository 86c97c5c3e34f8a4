"""The page as it was agreed: `python -m tests.golden` writes it anew; the diff is then for a person to read."""

from collections.abc import Mapping
from pathlib import Path

from exporter.metrics.exposition import render
from tests.metrics.examples import nothing_yet, published

HERE = Path(__file__).parent


def pages() -> Mapping[Path, bytes]:
    """Every golden file with what it should hold."""
    openmetrics = "application/openmetrics-text"
    return {
        HERE / "metrics.txt": render(published())[0],
        HERE / "metrics.openmetrics.txt": render(published(), openmetrics)[0],
        HERE / "nothing_yet.txt": render(nothing_yet())[0],
    }
