from pathlib import Path

from exporter.metrics.reference import markdown

COMMITTED = Path(__file__).parents[2] / "docs" / "METRICS.md"


def test_the_committed_page_is_fresh() -> None:
    assert COMMITTED.read_text() == markdown(), "python -m exporter.metrics > docs/METRICS.md"
