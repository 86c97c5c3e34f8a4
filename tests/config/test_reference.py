from pathlib import Path

from exporter.config.layout import layout
from exporter.config.reference import markdown
from exporter.config.sections import rows

COMMITTED = Path(__file__).parents[2] / "docs" / "CONFIGURATION.md"


def test_the_committed_page_is_fresh() -> None:
    assert COMMITTED.read_text() == markdown(), "python -m exporter.config > docs/CONFIGURATION.md"


def test_every_key_says_what_it_means_and_breaks_no_table() -> None:
    for row in rows(layout({})):
        assert row.meaning
        assert "|" not in row.meaning + row.word + row.default
