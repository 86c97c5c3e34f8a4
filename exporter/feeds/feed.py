"""The contract of a feed."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from exporter.domain.events import RequestEvent
from exporter.domain.health import LogView
from exporter.domain.units import Instant


class Told(NamedTuple):
    """One piece of news.

    Attributes:
        heard_at: when it was heard live; None for news from before we listened.
        aliases: other ids by which another source may tell of the same request.
    """

    event: RequestEvent
    heard_at: Instant | None
    aliases: tuple[str, ...] = ()


class Feed(Protocol):
    """All that is told of one server's requests. Polled, about ten times a second, from the engine's one task."""

    @property
    def server(self) -> str:
        """The server's name."""
        ...

    @property
    def behind(self) -> bool:
        """Whether the last poll left something unread: polling again at once is worth while."""
        ...

    def poll(self, now: Instant, wall_offset: float | None) -> Sequence[Told]:
        """What has been told since the last poll.

        Args:
            now: the present instant; never earlier than at the last poll.
            wall_offset: for stamps written now, as in `exporter.domain.lines.Line`.
        """
        ...

    def heard_until(self, now: Instant) -> Instant | None:
        """Everything told before this instant has been returned by `poll`. None before the first time that was so."""
        ...

    def tell_problems(self) -> None:
        """Say in our own log what keeps it from being heard: once, and again if it comes back."""
        ...

    def view(self) -> LogView:
        """How hearing goes."""
        ...

    def snapshot(self) -> Mapping[str, Any]:
        """What must survive a restart, as JSON values."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Before the first poll: go on from a snapshot. An unusable snapshot is as good as none."""
        ...

    def close(self) -> None:
        """Let go of what is open. May be called twice."""
        ...
