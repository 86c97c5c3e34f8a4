import asyncio
from dataclasses import dataclass
from itertools import islice

import pytest

from exporter.demo.inference import running
from exporter.demo.load import ClientFact, asks, generate
from tests.demo.conftest import make_inference_in


@dataclass(frozen=True)
class Load:
    facts: tuple[ClientFact, ...]
    told: list[ClientFact]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    told: list[ClientFact] = []
    with running(make_inference_in(tmp_path_factory.mktemp("load"))("well")) as server:
        return Load(asyncio.run(generate(server.url, seconds=2, on_end=told.append)), told)


def test_the_same_seed_asks_the_same_things() -> None:
    assert list(islice(asks(1, "0"), 50)) == list(islice(asks(1, "0"), 50))
    assert list(islice(asks(1, "0"), 50)) != list(islice(asks(2, "0"), 50))


def test_clients_ask_different_things() -> None:
    assert list(islice(asks(1, "1"), 50)) != list(islice(asks(1, "2"), 50))


def test_prompts_and_answers_are_short_and_long_streamed_and_plain() -> None:
    sequence = list(islice(asks(1, "alone"), 50))
    assert max(len(ask.prompt) for ask in sequence) > 10 * min(len(ask.prompt) for ask in sequence)
    assert max(ask.max_tokens for ask in sequence) >= 4 * min(ask.max_tokens for ask in sequence)
    assert {ask.stream for ask in sequence} == {True, False}


def test_exactly_one_request_hangs_up() -> None:
    hang_ups = [
        ask for client in ("alone", "0", "1", "2", "3") for ask in islice(asks(1, client), 50) if ask.hang_up_after
    ]
    assert len(hang_ups) == 1
    assert hang_ups[0].stream


def test_requests_run_alone_first_then_together_and_alone_at_last(load: Load) -> None:
    facts = load.facts
    alone = [fact for fact in facts if fact.phase == "alone"]
    together = [fact for fact in facts if fact.phase == "together"]
    assert not any(_overlap(one, other) for one in alone for other in facts if other is not one)
    assert any(_overlap(one, other) for one in together for other in together if other is not one)
    begin, end = min(fact.start for fact in together), max(fact.end for fact in together)
    assert any(fact.end < begin for fact in alone)
    assert any(fact.start > end for fact in alone)


def test_each_request_is_told_as_it_ends_and_all_in_order_of_their_starts(load: Load) -> None:
    assert load.told == sorted(load.facts, key=lambda fact: fact.end)
    assert list(load.facts) == sorted(load.facts, key=lambda fact: fact.start)


def test_what_the_client_saw_is_told(load: Load) -> None:
    facts = load.facts
    assert {fact.outcome for fact in facts} == {"ok", "aborted"}
    assert all(fact.start <= (fact.first_token or fact.start) <= fact.end for fact in facts)
    assert all(fact.prompt_tokens == 7 and fact.output_tokens for fact in facts if fact.outcome == "ok")


def test_the_one_that_hung_up_never_heard_its_usage(load: Load) -> None:
    [gone] = [fact for fact in load.facts if fact.outcome == "aborted"]
    assert gone.first_token is not None
    assert gone.output_tokens is None


async def test_a_server_that_is_not_there_gives_errors_not_an_exception() -> None:
    facts = await generate("http://127.0.0.1:9", seconds=0.1)
    assert {fact.outcome for fact in facts} == {"error"}


def _overlap(one: ClientFact, other: ClientFact) -> bool:
    return one.start < other.end and other.start < one.end
