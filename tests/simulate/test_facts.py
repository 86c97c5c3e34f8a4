"""What a replica writes of a request as JSON, the exporter reads back as it was."""

import json
from dataclasses import replace

import pytest

from exporter.domain.events import Completed, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.registry import READERS
from exporter.simulate.engine import Passage
from exporter.simulate.facts import READER_OPTIONS, fact
from exporter.simulate.load import Request

BEGIN = 1_795_234_620.0
RAN = Passage(
    Request("chatcmpl-a", 0.0, 300, 50),
    arrival=1.0,
    unread_tokens=0,
    last_token=50,
    start=1.5,
    first_token=1.75,
    end=4.25,
    outcome="ok",
    output_tokens=50,
)


def read(passage: Passage) -> object:
    reader = READERS["jsonl"].build(READER_OPTIONS, None)
    now = Instant(BEGIN + 10.0)
    return reader.feed(Line(fact(passage, "simulated/x", BEGIN), Instant(now - 10.0), now))


def test_times_tokens_and_queueing_are_read_back_to_the_microsecond() -> None:
    heard = read(RAN)
    assert isinstance(heard, Used)
    (event,) = heard.events
    assert isinstance(event, Completed)
    assert event.start == pytest.approx(BEGIN + 1.5, abs=2e-6)
    assert event.end == pytest.approx(BEGIN + 4.25, abs=2e-6)
    assert event.first_token == pytest.approx(BEGIN + 1.75, abs=2e-6)
    assert event.queued_seconds == 0.5
    assert (event.id, event.model, event.outcome) == ("chatcmpl-a", "simulated/x", "ok")
    assert (event.prompt_tokens, event.cached_tokens, event.output_tokens) == (300, 0, 50)
    assert event.end_uncertainty < 1e-5


def test_one_that_left_in_its_prompt_has_no_first_token() -> None:
    heard = read(replace(RAN, first_token=None, outcome="aborted", output_tokens=0))
    assert isinstance(heard, Used)
    (event,) = heard.events
    assert isinstance(event, Completed)
    assert (event.first_token, event.outcome) == (None, "aborted")


def test_one_that_left_the_queue_ran_never_and_is_passed_over() -> None:
    assert read(replace(RAN, start=None, first_token=None, outcome="aborted")) == Ignored("never_served")


def test_every_line_says_that_it_is_simulated() -> None:
    assert json.loads(fact(RAN, "simulated/x", BEGIN))["simulated"] is True
