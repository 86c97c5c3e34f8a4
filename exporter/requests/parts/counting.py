"""How many requests events tell of: a start and a whole telling of the same request are one."""

from exporter.domain.events import Completed, Counted, Ended, RequestEvent, ServerRestarted, Started


class Counting:
    """Counts requests, an event at a time.

    Attributes:
        timed: requests whose time is told. counted: those that are told without it.
    """

    def __init__(self) -> None:
        self.timed = 0
        self.counted = 0
        self._open: set[str] = set()

    def hear(self, event: RequestEvent) -> None:
        """Take in the next event."""
        match event:
            case Started():
                self.timed += event.id not in self._open
                self._open.add(event.id)
            case Completed():
                self.timed += event.id not in self._open
                self._open.discard(event.id)
            case Ended():
                self._open.discard(event.id)
            case Counted():
                self.counted += 1
            case ServerRestarted():
                self._open.clear()
            case _:
                pass
