"""The reverse proxy before a real llama-server: what it tells is what the clients saw."""

import asyncio
from dataclasses import dataclass

import pytest

from exporter.clock import SystemClock
from exporter.demo.inference import RunningInference
from exporter.demo.load import ClientFact, generate
from exporter.domain.events import Ended, FirstToken, Started
from exporter.domain.settings import TenantSettings
from exporter.feeds.inbox import Inbox
from exporter.gateway import open_gateway
from exporter.requests.posted.proxied import check

pytestmark = pytest.mark.e2e

LOAD_SECONDS = 8.0
AWAY_SECONDS = 0.25
"""Between what gateway and client saw: a millisecond or two, but one process runs both, on a busy machine."""


@dataclass(frozen=True)
class Life:
    """A request as the gateway told it."""

    started: Started
    ended: Ended
    first_token: FirstToken | None


@dataclass(frozen=True)
class Session:
    """A load that is over. Both in the order of their ends."""

    facts: tuple[ClientFact, ...]
    lives: tuple[Life, ...]
    faults: list[str]


async def _through_the_gateway(upstream: str) -> Session:
    inbox, clock, faults = Inbox("chat", ends_with_us=True), SystemClock(), list[str]()
    options = check({"upstream": upstream, "listen": "127.0.0.1:0"}, None)
    gateway = await open_gateway("chat", options, TenantSettings(), inbox, clock.now, fault=faults.append)
    try:
        facts = await generate(gateway.url, LOAD_SECONDS)
    finally:
        await gateway.close()
    news = [told.event for told in inbox.poll(clock.now(), 0.0)]
    starts = {event.id: event for event in news if isinstance(event, Started)}
    firsts = {event.id: event for event in news if isinstance(event, FirstToken)}
    ends = sorted((event for event in news if isinstance(event, Ended)), key=lambda end: end.at)
    lives = tuple(Life(starts[end.id], end, firsts.get(end.id)) for end in ends)
    return Session(tuple(sorted(facts, key=lambda fact: fact.end)), lives, faults)


@pytest.fixture(scope="module")
def session(llama_server: RunningInference) -> Session:
    return asyncio.run(_through_the_gateway(llama_server.url))


def _pairs(session: Session) -> list[tuple[ClientFact, Life]]:
    """Who is who, by tokens and by when it started: the client names no request."""
    lives = list(session.lives)
    pairs = []
    for fact in session.facts:
        alike = [life for life in lives if life.ended.outcome == fact.outcome and _same_tokens(fact, life)]
        life = min(alike, key=lambda one: abs(one.started.at - fact.start))
        lives.remove(life)
        pairs.append((fact, life))
    return pairs


def _same_tokens(fact: ClientFact, life: Life) -> bool:
    told = (life.ended.prompt_tokens, life.ended.output_tokens)
    return fact.outcome != "ok" or told == (fact.prompt_tokens, fact.output_tokens)


def test_every_request_is_told_once_with_its_outcome_and_tokens(session: Session) -> None:
    assert len(session.lives) == len(session.facts) >= 5
    assert len(_pairs(session)) == len(session.facts)
    assert [life.ended.outcome for life in session.lives].count("aborted") == 1
    assert not session.faults


def test_requests_began_and_ended_when_the_clients_say(session: Session) -> None:
    for fact, life in _pairs(session):
        assert life.started.at == pytest.approx(fact.start, abs=AWAY_SECONDS)
        assert life.ended.at == pytest.approx(fact.end, abs=AWAY_SECONDS)


def test_first_tokens_came_when_the_clients_say_and_only_of_streams(session: Session) -> None:
    streamed = 0
    for fact, life in _pairs(session):
        assert (fact.first_token is None) == (life.first_token is None)
        if fact.first_token is not None and life.first_token is not None:
            assert life.first_token.at == pytest.approx(fact.first_token, abs=AWAY_SECONDS)
            streamed += 1
    assert streamed >= 1


def test_the_model_is_told(session: Session) -> None:
    assert all(life.ended.model for life in session.lives if life.ended.outcome == "ok")
