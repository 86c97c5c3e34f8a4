"""From the configuration to feeds: one a server, and the inboxes into which others put what they are told."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporter.config.checks import reads_standard_input
from exporter.domain.errors import ConfigError
from exporter.domain.settings import TOLD_OVER_HTTP, RequestSettings, ServerSettings
from exporter.feeds.feed import Feed
from exporter.feeds.inbox import Inbox
from exporter.feeds.logs import LogFeed
from exporter.requests.arrival.opening import open_arrival
from exporter.requests.registry import READERS

if TYPE_CHECKING:
    from exporter.requests.posted.otlp import OtlpCore
    from exporter.requests.posted.proxied import ProxyOptions
    from exporter.requests.posted.push import PushCore


@dataclass(frozen=True, slots=True)
class ProxiedServer:
    """A server that is asked through our reverse proxy. What that sees goes into the inbox."""

    server: str
    options: "ProxyOptions"
    inbox: Inbox


@dataclass(frozen=True, slots=True)
class TracedServer:
    """A server whose requests are posted to us as spans. `core`: which spans are its own."""

    server: str
    inbox: Inbox
    core: "OtlpCore"


@dataclass(frozen=True, slots=True)
class PushedServer:
    """A server whose requests are posted to us as events. `core`: what it was told before."""

    server: str
    inbox: Inbox
    core: "PushCore"


@dataclass(frozen=True, slots=True)
class Feeds:
    """Everything that tells of requests.

    Attributes:
        feeds: one a server, in the order of the configuration.
        proxied, traced, pushed: the inboxes among them that somebody must fill.
    """

    feeds: list[Feed] = field(default_factory=list)
    proxied: list[ProxiedServer] = field(default_factory=list)
    traced: list[TracedServer] = field(default_factory=list)
    pushed: list[PushedServer] = field(default_factory=list)

    def close(self) -> None:
        """Close all of them."""
        for feed in self.feeds:
            feed.close()


def open_feeds(servers: Sequence[ServerSettings]) -> Feeds:
    """Open what tells of these servers' requests.

    Raises:
        ConfigError: a log cannot be opened that way.
    """
    opened = Feeds()
    try:
        for index, server in enumerate(servers):
            with _named_as_in_the_file(f"servers[{index}].requests"):
                parts = [_open(server.name, requests, opened) for requests in server.requests]
            opened.feeds.append(parts[0] if len(parts) == 1 else _joined(parts))
    except Exception:
        opened.close()
        raise
    return opened


@contextmanager
def _named_as_in_the_file(path: str) -> Iterator[None]:
    """What cannot be opened is named by its place in the configuration."""
    try:
        yield
    except ConfigError as error:
        inner = error.path.removeprefix("options.")
        raise ConfigError(f"{path}.{inner}" if inner else path, error.problem) from error


def is_posted(requests: RequestSettings) -> bool:
    """Whether this is told to us over HTTP, or passes through us, and is not read from anywhere."""
    return requests.source in TOLD_OVER_HTTP and not requests.path and requests.kubernetes is None


def _open(server: str, requests: RequestSettings, opened: Feeds) -> Feed:
    if is_posted(requests):
        return _inbox(server, requests, opened)
    assert requests.path or requests.kubernetes or reads_standard_input(requests)
    arrival = open_arrival(requests.path, start_at=requests.start_at, kubernetes=requests.kubernetes)
    return LogFeed(server, arrival, READERS[requests.source].build(requests.options, requests.timezone))


def _joined(parts: Sequence[Feed]) -> Feed:
    from exporter.feeds.joined import JoinedFeed  # noqa: PLC0415 - most servers are told of by one source

    return JoinedFeed(parts)


def _inbox(server: str, requests: RequestSettings, opened: Feeds) -> Inbox:
    if requests.source == "proxy":
        return _proxied(server, requests, opened)
    return _traced(server, requests, opened) if requests.source == "otlp" else _pushed(server, requests, opened)


def _proxied(server: str, requests: RequestSettings, opened: Feeds) -> Inbox:
    from exporter.requests.posted import proxied  # noqa: PLC0415 - loaded where it is asked for, as readers are

    inbox = Inbox(server, ends_with_us=True)
    opened.proxied.append(ProxiedServer(server, proxied.check(requests.options, requests.timezone), inbox))
    return inbox


def _traced(server: str, requests: RequestSettings, opened: Feeds) -> Inbox:
    from exporter.requests.posted import otlp  # noqa: PLC0415 - as above

    inbox = Inbox(server)
    opened.traced.append(TracedServer(server, inbox, otlp.core(requests.options)))
    return inbox


def _pushed(server: str, requests: RequestSettings, opened: Feeds) -> Inbox:
    from exporter.requests.posted import push  # noqa: PLC0415 - as above

    push.build(requests.options, requests.timezone)
    core = push.PushCore()
    inbox = Inbox(server, memory=core)
    opened.pushed.append(PushedServer(server, inbox, core))
    return inbox
