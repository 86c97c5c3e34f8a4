from math import inf

from exporter.domain.events import Completed
from exporter.domain.units import Instant
from exporter.ledger.claims import Life
from exporter.pipeline.waiting import Finished, Waiting


def ended(id_: str, start: float, end: float) -> Finished:
    return Finished(Completed(id_, Instant(start), Instant(end)), Life(start, start, end, 0.0, 0.0))


def ids(finished: list[Finished]) -> list[str]:
    return [one.news.id for one in finished]


def test_those_due_come_in_the_order_in_which_they_became_known() -> None:
    waiting = Waiting()
    waiting.add([ended("a", 0.0, 9.0), ended("b", 1.0, 5.0)])
    waiting.add([ended("c", 2.0, 20.0), ended("d", 3.0, 4.0)])
    assert ids(waiting.due(9.0)) == ["a", "b", "d"]
    assert ids(waiting.finished) == ["c"]
    assert waiting.due(9.0) == []


def test_the_first_of_those_that_still_wait_says_since_when() -> None:
    waiting = Waiting([ended("a", 0.0, 5.0), ended("b", 2.0, 9.0)])
    assert waiting.since() == 0.0
    waiting.due(5.0)
    assert waiting.since() == 2.0
    waiting.due(9.0)
    assert waiting.since() == inf
