"""From the configuration to feeds."""

from pathlib import Path

import pytest

from exporter.domain.errors import ConfigError
from exporter.domain.settings import RequestSettings, ServerSettings
from exporter.domain.units import Instant
from exporter.feeds.inbox import Inbox
from exporter.feeds.joined import JoinedFeed
from exporter.feeds.logs import LogFeed
from exporter.feeds.opening import Feeds, open_feeds

NOW = Instant(1_790_000_000.0)
FRONT = RequestSettings("proxy", options={"upstream": "http://127.0.0.1:8000"})


def opened(*requests: RequestSettings) -> Feeds:
    return open_feeds([ServerSettings("chat", requests)])


def log(path: Path, source: str = "vllm") -> RequestSettings:
    return RequestSettings(source, path=(str(path / "log"),))


def test_one_place_is_a_feed_of_its_own(tmp_path: Path) -> None:
    assert isinstance(opened(log(tmp_path)).feeds[0], LogFeed)


def test_several_places_are_joined(tmp_path: Path) -> None:
    both = opened(FRONT, log(tmp_path))
    assert isinstance(both.feeds[0], JoinedFeed)
    assert [one.server for one in both.proxied] == ["chat"]


def test_what_is_told_over_http_has_an_inbox_for_whoever_hears_it() -> None:
    feeds = opened(RequestSettings("otlp", options={"service": "vllm"}), RequestSettings("push"))
    assert [one.core.service for one in feeds.traced] == ["vllm"]
    assert [one.server for one in feeds.pushed] == ["chat"]


def test_spans_and_events_in_a_file_are_a_log(tmp_path: Path) -> None:
    for source in ("otlp", "push"):
        feeds = opened(log(tmp_path, source))
        assert isinstance(feeds.feeds[0], LogFeed)
        assert not feeds.traced
        assert not feeds.pushed


def test_the_wrong_options_of_any_place_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"servers\[0\]\.requests\.upstream: missing"):
        opened(RequestSettings("proxy"))


def test_joined_feeds_are_one_feed() -> None:
    (feed,) = opened(FRONT, RequestSettings("push")).feeds
    feed.poll(NOW, 0.0)
    assert (feed.server, feed.behind, feed.heard_until(NOW)) == ("chat", False, NOW)
    feed.restore(feed.snapshot())
    feed.restore({"feeds": [{}], "joiner": {}})
    feed.restore({"feeds": [{}, {}], "joiner": {"begun": 3}})
    assert feed.poll(NOW, 0.0) == []
    feed.close()
    assert isinstance(feed, JoinedFeed)
    assert not isinstance(feed, Inbox)
