"""Times a server with an OpenAI-compatible API: streamed answers, as anybody's client sees them.

Prompts are of many lengths, because time per prompt token is what tells hardware from load and network; they come in
an order in which length has nothing to do with time of day, and each begins with words that no cache has seen. A
request's clock starts when its connection is there, so that names, TCP and TLS are not held against the GPU. One
request that does not count goes first: it warms the connection, and finds out what this server understands.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, TextIO

from exporter.completions.client import Target, asking
from exporter.completions.observation import Observation

SHORTEST_WORDS = 12
LONGEST_WORDS = 1500
_WORDS = (
    "river lamp stone garden winter letter harbour bridge morning paper window music forest road silver table wind "
    "mountain bread clock island market north painter queen rain salt tower village water yellow copper field glass"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to time it. `max_tokens`: of each answer. `timeout_seconds`: for each answer."""

    requests: int = 20
    concurrency: int = 1
    max_tokens: int = 128
    timeout_seconds: float = 300.0


@dataclass(slots=True)
class Findings:
    """What came of it.

    Attributes:
        good: in the order in which they were sent. failures: how many requests failed, by reason.
        counted_pieces: answers whose tokens were counted by pieces, because the server did not tell how many.
    """

    good: list[Observation] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    counted_pieces: int = 0

    def fail(self, reason: str) -> None:
        """One more."""
        self.failures[reason] = self.failures.get(reason, 0) + 1


@dataclass(slots=True)
class Progress:
    """How far it is, on a terminal; nothing in a pipe."""

    total: int
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    done: int = 0

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if self.stream.isatty():
            self.stream.write(f"\r  timed {self.done} of {self.total}" + ("\n" if self.done == self.total else ""))
            self.stream.flush()


async def time_server(
    target: Target, plan: Plan, nonce: str, on_timed: Callable[[Observation], None] = lambda _: None
) -> Findings:
    """Send the requests of a plan and time their answers.

    Args:
        target: the server.
        plan: how many requests, and so on.
        nonce: what no earlier run began its prompts with.
        on_timed: called with each timing as its answer ends.

    Raises:
        CompletionError: the server is not there, refuses us, or speaks another language.
    """
    findings, progress = Findings(), Progress(plan.requests)
    async with asking(target, plan.timeout_seconds) as client:
        await client.warm_up(prompt(SHORTEST_WORDS, f"{nonce}-warm-up"))
        numbered = iter(enumerate(lengths(plan.requests)))
        timed: dict[int, Observation] = {}

        async def work() -> None:
            for number, words in numbered:
                answer = await client.ask(prompt(words, f"{nonce}-{number}"), plan.max_tokens)
                progress.step()
                if isinstance(answer, str):
                    findings.fail(answer)
                    continue
                findings.counted_pieces += answer.counted_pieces
                timed[number] = answer.observation
                on_timed(answer.observation)

        await _together(work() for _ in range(plan.concurrency))
    findings.good = [timed[number] for number in sorted(timed)]
    return findings


async def _together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first that gives up ends all."""
    try:
        async with asyncio.TaskGroup() as workers:
            for one in work:
                workers.create_task(one)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


def lengths(count: int) -> Iterator[int]:
    """Lengths of prompts in words: short to long in equal ratios, in an order that leaps about (golden section)."""
    ratio = LONGEST_WORDS / SHORTEST_WORDS
    for number in range(count):
        yield round(SHORTEST_WORDS * ratio ** (0.6180339887 * (number + 0.5) % 1.0))


def prompt(words: int, nonce: str) -> str:
    """A prompt of about so many words that asks for a long answer."""
    random = Random(nonce)  # noqa: S311 - words to read, no secret
    return f"{nonce}. Write a long story, at least a thousand words, with these: " + " ".join(
        random.choices(_WORDS.split(), k=words)
    )
