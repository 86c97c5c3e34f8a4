"""What is told to us directly."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from exporter.domain.events import Ended, FirstToken, Started
from exporter.domain.units import Instant
from exporter.feeds.feed import Told
from exporter.feeds.inbox import FULL, Inbox

NOW = Instant(1_790_000_000.0)
BEGUN = Started("a", NOW)
ENDED = Ended("a", NOW)


class Memo:
    """Remembers one word."""

    def __init__(self, word: str = "") -> None:
        self.word = word

    def snapshot(self) -> Mapping[str, Any]:
        return {"word": self.word}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        self.word = snapshot["word"]


def test_what_is_put_in_is_taken_out_once_and_in_order() -> None:
    inbox = Inbox("chat")
    for event in (BEGUN, FirstToken("a", NOW), ENDED):
        inbox.put(event, NOW, ("alias",))
    assert inbox.poll(NOW, 0.0) == [Told(event, NOW, ("alias",)) for event in (BEGUN, FirstToken("a", NOW), ENDED)]
    assert inbox.poll(NOW, 0.0) == []
    assert inbox.heard_until(NOW) == NOW


def test_what_does_not_fit_is_counted() -> None:
    inbox = Inbox("chat", most=2)
    for _ in range(5):
        inbox.put(BEGUN, NOW)
    assert len(inbox.poll(NOW, 0.0)) == 2
    assert inbox.view().lines == {("dropped", FULL): 3}


def test_requests_whose_connection_ended_with_us_were_aborted_then() -> None:
    before = Inbox("chat", ends_with_us=True)
    before.put(BEGUN, NOW)
    before.put(Started("b", NOW), NOW)
    before.put(Ended("b", NOW), NOW)
    before.poll(NOW, 0.0)
    after = Inbox("chat", ends_with_us=True)
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert after.poll(Instant(NOW + 60.0), 0.0) == [Told(Ended("a", NOW, 0.0, "aborted", "restart"), None)]


def test_requests_that_somebody_else_serves_go_on_without_us() -> None:
    before = Inbox("chat")
    before.put(BEGUN, NOW)
    after = Inbox("chat")
    after.restore(before.snapshot())
    assert after.poll(NOW, 0.0) == []


def test_what_was_told_before_is_remembered_across_restarts() -> None:
    after = Memo()
    Inbox("chat", memory=after).restore(json.loads(json.dumps(Inbox("chat", memory=Memo("told")).snapshot())))
    assert after.word == "told"


@pytest.mark.parametrize("snapshot", [{}, {"open": 3, "at": 1}, {"open": ["a"], "at": "then"}, {"memory": 3}], ids=str)
def test_an_unusable_snapshot_is_as_good_as_none(snapshot: dict[str, object]) -> None:
    inbox = Inbox("chat", ends_with_us=True, memory=Memo("kept"))
    inbox.restore(snapshot)
    assert inbox.poll(NOW, 0.0) == []
