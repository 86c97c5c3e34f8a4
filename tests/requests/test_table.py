"""docs/SERVERS.md says what the program does."""

import re

from exporter.metrics.catalogue import CATALOGUE
from exporter.requests.registry import SOURCES
from tests.requests.reasons import reasons
from tests.requests.replay import ALL_LOGS, LOGS, TIMED_LLAMA_LOGS, TORCHSERVE_LOGS
from tests.requests.table import DOCUMENT, rewritten, row

TEXT = DOCUMENT.read_text()


def test_the_document_is_fresh() -> None:
    assert rewritten(TEXT) == TEXT, "python -m tests.requests.table docs/SERVERS.md"


def test_every_reason_has_one_plain_sentence_and_no_sentence_lacks_its_reason() -> None:
    explained = re.findall(
        r"^\| `([a-z_0-9]+)` \| ([A-Z].*\.) \|$", TEXT.partition("\n## Why a line told nothing\n")[2], re.MULTILINE
    )
    names = [name for name, _ in explained]
    assert len(names) == len(set(names))
    assert set(names) == reasons()


def test_every_recorded_log_is_registered() -> None:
    files = {path.name for path in LOGS.iterdir() if not path.name.endswith(".client.jsonl")}
    assert files == {log.name for log in ALL_LOGS}


def test_every_source_is_somewhere_in_the_guide() -> None:
    guide = TEXT.partition("\n## What each source knows\n")[0]
    assert {name for name in SOURCES if f"`{name}`" not in guide} == set()


def test_the_metric_that_counts_lines_is_called_so() -> None:
    assert "llm_energy_exporter_log_lines_total" in {family.name for family in CATALOGUE}


def test_a_row_holds_what_was_found_and_how_far_that_is_from_the_truth() -> None:
    timed, queued = row(TIMED_LLAMA_LOGS[0]), row(TORCHSERVE_LOGS[1])
    assert (timed.way, timed.found, timed.seen) == ("back", 12, 12)
    assert all(error is not None and 0 < error < 0.005 for error in timed.errors)
    assert (queued.errors, queued.seen, queued.ignored["held"]) == ((None, None, None), None, 5)
