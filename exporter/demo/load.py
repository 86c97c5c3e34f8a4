"""A small load on an OpenAI-compatible server, and what a client can know about each request of it.

First some requests run alone, with gaps between them: their energy is metered without any rule for sharing. Then
several clients send at once, pausing at random, so that about three requests share the machine at a time. At last
requests run alone once more: by now the proxies have learned, and say what each will cost before it is metered. Prompts
and answers are short and long, streamed and plain; one client hangs up in the middle of its answer.

The same seed asks the same things in the same order. How many requests that makes depends on the machine's speed,
because the load lasts a given time.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Any, Literal

import aiohttp

from exporter.domain.events import Outcome
from exporter.domain.units import Instant

SECONDS = 40.0
SEED = 20
CLIENTS = 4
ALONE_FIRST_SHARE, ALONE_LAST_SHARE = 0.2, 0.3
GAP_SECONDS = 0.7
LONGEST_PAUSE_SECONDS = 0.9
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=120)

Phase = Literal["alone", "together"]

_QUESTIONS = (
    "Name three colours of the sky.",
    "How does a bicycle stay upright?",
    "Write a short poem about a lighthouse.",
    "What is the difference between energy and power?",
    "Describe a walk along a river in spring.",
    "Why do cats purr?",
)
_PASSAGE = (
    "The kettle on the stove holds one litre of water. Heating it from the tap to the boil takes about a third of a "
    "megajoule, whether the stove is strong or weak; a strong one is merely done sooner. Power says how fast energy "
    "flows, and energy is what is paid for in the end. "
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to send. `hang_up_after` chunks of its answer the client leaves; None: it stays to the end."""

    prompt: str
    max_tokens: int
    stream: bool
    hang_up_after: int | None = None


@dataclass(frozen=True, slots=True)
class ClientFact:
    """What the client knows about a request it sent.

    Attributes:
        first_token: when the first piece of the answer came; None for an answer in one piece.
        prompt_tokens: as the server's `usage` says; None where the client never heard it. Likewise `output_tokens`.
    """

    phase: Phase
    start: Instant
    end: Instant
    outcome: Outcome
    first_token: Instant | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def seconds(self) -> float:
        """From sending the request to the end of its answer."""
        return self.end - self.start


async def generate(
    url: str, seconds: float = SECONDS, seed: int = SEED, on_end: Callable[[ClientFact], None] = lambda _: None
) -> tuple[ClientFact, ...]:
    """Puts load on the server at `url` and tells what the clients saw.

    Args:
        url: of the server, without a trailing slash.
        seconds: how long requests are begun; each client sends at least one.
        seed: same seed, same questions.
        on_end: called with each request's facts as it ends.
    """
    begin = time.monotonic()
    async with aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session:
        client = _Client(session, f"{url}/v1/chat/completions", on_end)
        sequence = asks(seed, "alone")
        first = await client.ask_alone(sequence, begin + seconds * ALONE_FIRST_SHARE)
        together = await client.ask_together(seed, begin + seconds * (1.0 - ALONE_LAST_SHARE))
        last = await client.ask_alone(sequence, begin + seconds)
    return tuple(sorted([*first, *together, *last], key=lambda fact: fact.start))


def asks(seed: int, client: str) -> Iterator[Ask]:
    """The endless sequence of requests of one client; the first one of client `0` hangs up."""
    random = Random(f"{seed}/{client}")  # noqa: S311 - a repeatable load, no secret
    for number in count():
        question = f"{random.choice(_QUESTIONS)} {_PASSAGE * random.choice((0, 0, 1, 3))}".strip()
        ask = Ask(question, max_tokens=random.choice((12, 24, 48, 96)), stream=random.random() < 0.6)
        hangs_up = client == "0" and number == 0
        yield replace(ask, max_tokens=256, stream=True, hang_up_after=8) if hangs_up else ask


@dataclass(frozen=True, slots=True)
class _Client:
    session: aiohttp.ClientSession
    url: str
    on_end: Callable[[ClientFact], None]

    async def ask_alone(self, sequence: Iterator[Ask], deadline: float) -> list[ClientFact]:
        facts: list[ClientFact] = []
        while not facts or time.monotonic() < deadline:  # on the slowest machine at least one
            facts.append(await self._ask(next(sequence), "alone"))
            await asyncio.sleep(GAP_SECONDS)
        return facts

    async def ask_together(self, seed: int, deadline: float) -> list[ClientFact]:
        told = await asyncio.gather(*(self.ask_with_pauses(seed, number, deadline) for number in range(CLIENTS)))
        await asyncio.sleep(GAP_SECONDS)
        return [fact for facts in told for fact in facts]

    async def ask_with_pauses(self, seed: int, number: int, deadline: float) -> list[ClientFact]:
        pauses = Random(f"{seed}/{number}/pauses")  # noqa: S311 - as above
        sequence = asks(seed, str(number))
        facts = [await self._ask(next(sequence), "together")]  # as above
        while time.monotonic() < deadline:
            await asyncio.sleep(pauses.uniform(0, LONGEST_PAUSE_SECONDS))
            facts.append(await self._ask(next(sequence), "together"))
        return facts

    async def _ask(self, ask: Ask, phase: Phase) -> ClientFact:
        start = _now()
        try:
            async with self.session.post(self.url, json=_body(ask)) as response:
                response.raise_for_status()
                answer = await (_streamed(response, ask) if ask.stream else _plain(response))
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError):
            answer = _Answer("error")
        fact = ClientFact(
            phase, start, _now(), answer.outcome, answer.first_token, answer.prompt_tokens, answer.output_tokens
        )
        self.on_end(fact)
        return fact


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: Outcome
    first_token: Instant | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None


def _body(ask: Ask) -> Mapping[str, Any]:
    """`ignore_eos` makes the answer as long as asked for; without `cache_prompt` every prompt token is worked for."""
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": ask.prompt}],
        "max_tokens": ask.max_tokens,
        "ignore_eos": True,
        "cache_prompt": False,
        "seed": 1,
        "stream": ask.stream,
    }
    return body | {"stream_options": {"include_usage": True}} if ask.stream else body


async def _plain(response: aiohttp.ClientResponse) -> _Answer:
    return _with_usage(_Answer("ok"), await response.json())


async def _streamed(response: aiohttp.ClientResponse, ask: Ask) -> _Answer:
    answer, pieces = _Answer("error"), 0  # until it is complete
    async for line in response.content:
        if line.strip() == b"data: [DONE]":
            answer = replace(answer, outcome="ok")
        chunk = _chunk(line)
        if _has_text(chunk):
            pieces += 1
            answer = answer if answer.first_token is not None else replace(answer, first_token=_now())
        if ask.hang_up_after is not None and pieces >= ask.hang_up_after:
            response.close()  # not released to the pool: the server must see the connection go
            return replace(answer, outcome="aborted")
        answer = _with_usage(answer, chunk)
    return answer


def _chunk(line: bytes) -> Mapping[str, Any]:
    """The JSON of a server-sent event; empty for the blank lines between and for the closing `[DONE]`."""
    if not line.startswith(b"data: {"):
        return {}
    chunk: Mapping[str, Any] = json.loads(line.removeprefix(b"data: "))
    return chunk


def _has_text(chunk: Mapping[str, Any]) -> bool:
    return any(choice["delta"].get("content") for choice in chunk.get("choices", ()))


def _with_usage(answer: _Answer, body: Mapping[str, Any]) -> _Answer:
    usage = body.get("usage")
    if not usage:
        return answer
    return replace(answer, prompt_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"])


def _now() -> Instant:
    return Instant(time.time())
