"""How many requests events tell of."""

from exporter.domain.events import Completed, Counted, Ended, FirstToken, RequestEvent, ServerRestarted, Started
from exporter.domain.units import Instant
from exporter.requests.parts.counting import Counting

AT = Instant(1.0)


def counted(*events: RequestEvent) -> tuple[int, int]:
    counting = Counting()
    for event in events:
        counting.hear(event)
    return counting.timed, counting.counted


def test_a_start_and_its_end_are_one_request_however_the_end_is_told() -> None:
    assert counted(Started("a", AT), FirstToken("a", AT), Ended("a", AT)) == (1, 0)
    assert counted(Started("a", AT), Completed("a", AT, AT)) == (1, 0)
    assert counted(Completed("a", AT, AT)) == (1, 0)


def test_an_id_that_is_used_again_is_another_request() -> None:
    assert counted(Started("a", AT), Ended("a", AT), Started("a", AT)) == (2, 0)
    assert counted(Completed("a", AT, AT), Completed("a", AT, AT)) == (2, 0)
    assert counted(Started("a", AT), ServerRestarted(AT), Started("a", AT)) == (2, 0)


def test_what_has_no_time_is_counted_apart() -> None:
    assert counted(Counted(AT), Started("a", AT)) == (1, 1)
