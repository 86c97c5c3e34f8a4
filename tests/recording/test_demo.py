"""A recording of the real demo: a real model on a real llama-server, its power estimated from this CPU's utilisation.

`python -m tests.recording` made it, and what its clients saw beside it.
"""

import gzip
import json
from typing import Any

import pytest

from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.recording.playing import Player, pipeline_of
from exporter.recording.recording import Recording
from exporter.replay.result import imbalance
from tests.recording import CLIENT_FACTS, DEMO


def facts(outcome: str) -> list[dict[str, Any]]:
    """What clients saw of requests that ended so, in the order of their starts."""
    known = [json.loads(line) for line in CLIENT_FACTS.read_text().splitlines()]
    return [one for one in known if one["outcome"] == outcome]


@pytest.fixture(scope="module")
def story() -> tuple[list[SettledRequest], Snapshot]:
    """All requests that settled, by their starts, and the final books."""
    with Recording(DEMO) as recording:
        player = Player([pipeline_of(recording.header)], recording.header.begin)
        settled = [one for moment in player.play(recording) for one in moment.settled[0]]
        assert not recording.cut
        assert player.finished
    return sorted(settled, key=lambda one: one.start), player.pipelines[0].snapshot(player.now)


def test_its_books_balance(story: tuple[list[SettledRequest], Snapshot]) -> None:
    settled, books = story
    assert books.devices
    for view in books.devices:
        assert imbalance(view) < 1e-9
        assert view.metered_joules > 0.0
    booked = sum(view.booked["requests"] for view in books.devices)
    assert sum(one.joules for one in settled) == pytest.approx(booked, rel=1e-9)


def test_the_requests_are_those_that_the_clients_sent(story: tuple[list[SettledRequest], Snapshot]) -> None:
    settled, _ = story
    for outcome in ("ok", "aborted"):
        assert sum(one.outcome == outcome for one in settled) == len(facts(outcome))
    assert len(settled) == len(facts("ok")) + len(facts("aborted"))


def test_the_tokens_are_those_that_the_clients_were_told(story: tuple[list[SettledRequest], Snapshot]) -> None:
    mine = [one for one in story[0] if one.outcome == "ok"]
    told = facts("ok")
    assert sorted((one.prompt_tokens, one.output_tokens) for one in mine) == sorted(
        (one["prompt_tokens"], one["output_tokens"]) for one in told
    )


def test_no_request_takes_longer_than_its_client_waited(story: tuple[list[SettledRequest], Snapshot]) -> None:
    """Of all together: a client's wait holds the server's work, and the way there and back."""
    worked = sum(one.end - one.start for one in story[0] if one.outcome == "ok")
    waited = sum(one["end"] - one["start"] for one in facts("ok"))
    assert 0.8 * waited < worked < 1.02 * waited


def test_energy_without_a_sensor_is_labelled(story: tuple[list[SettledRequest], Snapshot]) -> None:
    assert {one.method for one in story[0]} == {"estimated"}


def test_it_is_small_and_holds_nothing_that_anybody_asked() -> None:
    assert DEMO.stat().st_size < 300_000
    text = gzip.decompress(DEMO.read_bytes()).decode()
    for word in ("lighthouse", "kettle", "bicycle", "messages", "/"):
        assert word not in text.partition('"machine"')[2]
