"""A steady load on an OpenAI-compatible server for as long as trials last: so many requests at once, all alike.

It is closed: a new request is sent when one has ended. So a slower setting meets fewer requests of the same kind, and
the batch stays the same; what differs between trials is the setting. Prompts differ from their first words on, so that
no cache knows them.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random

from exporter.completions.client import Client, Target, asking
from exporter.domain.errors import TuneError

_TIMEOUT_SECONDS = 600.0
_PAUSE_SECONDS = 0.5
"""After a request that failed."""

_HOPELESS = 20
"""So many failures without an answer in between mean that the load is none."""

_PREAMBLE_TOKENS = 20
_WORDS = (
    "apple bell cloud door earth fire glass hand ink jar king leaf moon nail oak pen quilt rope sand tree urn vine "
    "well yard zone boat coat dust fish gate hill iron"
)
"""Short common words: a token each, or close to it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent. `prompt_tokens` is about right, `output_tokens` exact where the server knows `ignore_eos`."""

    target: Target
    concurrency: int = 16
    prompt_tokens: int = 500
    output_tokens: int = 200

    def __str__(self) -> str:
        return (
            f"{self.concurrency} requests at once to {self.target.model}, about {self.prompt_tokens} prompt tokens and "
            f"{self.output_tokens} output tokens each"
        )


@dataclass(slots=True)
class Load:
    """A load that runs. `answered`: requests so far. `failures`: by reason, since the latest answer."""

    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def check(self) -> None:
        """See that it is one.

        Raises:
            TuneError: nothing but failures any more.
        """
        if self.failures.total() >= _HOPELESS:
            reason, _ = self.failures.most_common(1)[0]
            raise TuneError(f"the load failed {self.failures.total()} times in a row: {reason}")


@asynccontextmanager
async def loading(plan: Plan) -> AsyncIterator[Load]:
    """Put the load on, for as long as the context lasts.

    Raises:
        ExporterError: the server gives no answer.
    """
    load, nonce, numbers = Load(), secrets.token_hex(4), count()
    async with asking(plan.target, _TIMEOUT_SECONDS) as client:
        client.exact = True
        await client.warm_up(prompt(plan.prompt_tokens, f"{nonce}-warm-up"))
        workers = [asyncio.create_task(_work(client, plan, load, nonce, numbers)) for _ in range(plan.concurrency)]
        try:
            yield load
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


async def _work(client: Client, plan: Plan, load: Load, nonce: str, numbers: "count[int]") -> None:
    while True:
        answer = await client.ask(prompt(plan.prompt_tokens, f"{nonce}-{next(numbers)}"), plan.output_tokens)
        if isinstance(answer, str):
            load.failures[answer] += 1
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            load.answered += 1
            load.failures.clear()


def prompt(tokens: int, nonce: str) -> str:
    """About so many tokens that no cache has seen, asking for a long answer."""
    random = Random(nonce)  # noqa: S311 - words to read, no secret
    words = random.choices(_WORDS.split(), k=max(1, tokens - _PREAMBLE_TOKENS))
    return f"{nonce}. Write a long story with these words: {' '.join(words)}"
