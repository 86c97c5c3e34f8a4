"""Puts a planned load on a server, and keeps what its clients know of each request.

All streamed: `first_token` is when the first text came. Lengths are exact: prompts are token ids drawn by chance (no
cache has seen them), and answers go on to `max_tokens`, because the end of the text is forbidden.

Everything is bounded by a deadline: what has not begun by then is left out and said, what still runs is hung up on.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import aiohttp

from exporter.completions.streamed import Stream as Answer
from validation.serving.plan import Class, LoadPlan, Pace, PhasePlan, Stream, Together
from validation.serving.run import ClientTruth, Phase, Served, ServerFailedError

HANG_UP_SECONDS = 2.0
"""Before the deadline: those still running then are hung up on, so that their ends are seen."""
_PATIENCE_SECONDS = 120.0
_WARM_TOKENS = 16
_PACE_TOKENS = 24


@dataclass(slots=True)
class Told:
    """What came of a load."""

    requests: list[ClientTruth] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Load:
    """A client of one server.

    Args:
        session: of HTTP. served: the server. until: Unix seconds, the deadline. alive: whether the server runs.
        clock: Unix seconds.
    """

    session: aiohttp.ClientSession
    served: Served
    until: float
    alive: Callable[[], bool]
    seed: int = 7
    clock: Callable[[], float] = time.time
    told: Told = field(default_factory=Told)
    _sent: int = 0

    async def idle(self, name: str, seconds: float) -> None:
        """Nobody there."""
        began = self.clock()
        await asyncio.sleep(max(min(seconds, self.until - began), 0.0))
        self.told.phases.append(Phase(name, "idle", began, self.clock(), 0))

    async def run(self, plan: LoadPlan, say: Callable[[str], None] = lambda _: None) -> None:
        """All phases for which there is time."""
        self.told.missing += [f"no time for {name}" for name in plan.left_out]
        for phase in plan.phases:
            why = self._hopeless(phase)
            if why:
                self.told.missing.append(f"{phase.name}: {why}")
                continue
            done = await self.phase(phase)
            say(_line(done, self.told.requests))

    async def phase(self, plan: PhasePlan) -> Phase:
        """One of them."""
        began, before = self.clock(), len(self.told.requests)
        for step in plan.steps:
            if self._over() or not self.alive():
                break
            if isinstance(step, Together):
                await asyncio.gather(*(self.ask(plan.name, step.kind) for _ in range(step.size)))
            else:
                await self._stream(plan.name, step)
            await asyncio.sleep(max(min(step.pause_seconds, self.until - self.clock()), 0.0))
        failed = [one for one in self.told.requests[before:] if one.outcome != "ok"]
        note = f"{len(failed)} requests without a whole answer: {failed[0].why}" if failed else ""
        self.told.phases.append(Phase(plan.name, plan.kind, began, self.clock(), plan.concurrency, note))
        return self.told.phases[-1]

    async def ask(self, phase: str, kind: Class) -> ClientTruth:
        """One request of this kind."""
        number, self._sent = self._sent, self._sent + 1
        random = Random(f"{self.seed}/{phase}/{number}")  # noqa: S311 - a repeatable load, no secret
        prompt, output = (
            _drawn(random, kind.prompt_tokens, kind.spread),
            _drawn(random, kind.output_tokens, kind.spread),
        )
        body = {
            "model": self.served.model,
            "prompt": random.choices(
                range(self.served.first_token, self.served.first_token + self.served.tokens), k=prompt
            ),
            "max_tokens": output,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
            "cache_prompt": False,
            "temperature": 0.0,
            "samplers": ["top_k"],  # the likeliest token, found with the least work of the CPU
            "top_k": 1,
        }
        id_ = "-".join(filter(None, (phase, kind.group, str(number))))
        start = self.clock()
        answer, why = await self._answer(body, id_)
        truth = ClientTruth(
            id=id_,
            phase=phase,
            group=kind.group,
            start=start,
            end=self.clock(),
            first_token=answer.first,
            prompt_tokens=prompt,
            asked_tokens=output,
            output_tokens=answer.output_tokens,
            outcome="ok" if not why else "aborted" if why == _HUNG_UP else "error",
            why=why,
        )
        self.told.requests.append(truth)
        return truth

    async def _answer(self, body: object, id_: str) -> tuple[Answer, str]:
        """What came, and why it is not whole."""
        answer = Answer(self.clock())
        patience = min(self.until - HANG_UP_SECONDS - self.clock(), _PATIENCE_SECONDS)
        try:
            async with asyncio.timeout(max(patience, 0.0)):
                await self._heard(answer, body, id_)
        except TimeoutError:
            return answer, _HUNG_UP
        except (aiohttp.ClientError, OSError) as error:
            return answer, f"broke off: {type(error).__name__} {error}"[:200]
        whole = answer.complete and not answer.problem
        return answer, "" if whole else answer.problem or "ended too early"

    async def _heard(self, answer: Answer, body: object, id_: str) -> None:
        url = f"{self.served.url}/v1/completions"
        async with self.session.post(url, json=body, headers={"X-Request-Id": id_}) as response:
            if response.status != 200:
                answer.problem = f"HTTP {response.status}: {(await response.text())[:160]}"
                return
            async for piece in response.content.iter_any():
                answer.take(piece, self.clock())
            answer.end()

    async def _stream(self, phase: str, stream: Stream) -> None:
        ends = min(self.clock() + stream.seconds, self.until - HANG_UP_SECONDS)
        picks = _picks(stream.kinds, Random(f"{self.seed}/{phase}"))  # noqa: S311 - as above
        await asyncio.gather(*(self._worker(phase, picks, ends) for _ in range(stream.concurrency)))

    async def _worker(self, phase: str, picks: Callable[[], Class], ends: float) -> None:
        while self.clock() < ends and self.alive():
            truth = await self.ask(phase, picks())
            if truth.outcome == "error":
                await asyncio.sleep(0.2)

    def _hopeless(self, phase: PhasePlan) -> str:
        """Why this phase cannot be; it may take a third longer than was thought."""
        if not self.alive():
            return "the server is gone"
        return "" if self.clock() + 0.75 * phase.seconds < self.until - HANG_UP_SECONDS else "no time is left"

    def _over(self) -> bool:
        return self.clock() >= self.until - HANG_UP_SECONDS


_HUNG_UP = "no time was left: hung up"


@asynccontextmanager
async def loading(served: Served, until: float, alive: Callable[[], bool], seed: int = 7) -> AsyncIterator[Load]:
    """A client of this server, for as long as the context lasts."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)  # servers close kept connections when they like
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Load(session, served, until, alive, seed)


async def warmed_up(load: Load) -> Pace:
    """The server's pace, once it has compiled, allocated and cached whatever it does at first.

    Each way of asking is tried twice, the second time for the pace: a long prompt, one answer, many answers at once.

    Raises:
        ServerFailedError: it does not answer.
    """
    bearing = load.served.bearing
    prompt = min(bearing.prompt_tokens, 1024)
    await _tried(load, Class("", prompt, _WARM_TOKENS), 1)
    await _tried(load, Class("", 16, _WARM_TOKENS), bearing.concurrency)
    long = (await _tried(load, Class("", prompt, _WARM_TOKENS), 1))[0]
    alone = await _tried(load, Class("", 16, _PACE_TOKENS), 1)
    full = await _tried(load, Class("", 16, _PACE_TOKENS), bearing.concurrency)
    first_seconds = max((long.first_token or long.end) - long.start, 1e-3)
    return Pace(prompt / first_seconds, _step(alone), _step(full), bearing.concurrency)


async def _tried(load: Load, kind: Class, size: int) -> list[ClientTruth]:
    truths = list(await asyncio.gather(*(load.ask("warm-up", kind) for _ in range(size))))
    for truth in truths:
        if truth.outcome != "ok" or truth.first_token is None:
            raise ServerFailedError(f"the server gives no whole answers: {truth.why or 'no text came'}")
    return truths


def _step(truths: Sequence[ClientTruth]) -> float:
    """Seconds from token to token, as a median request saw it."""
    each = sorted((one.end - (one.first_token or one.start)) / max((one.output_tokens or 2) - 1, 1) for one in truths)
    return max(each[len(each) // 2], 1e-5)


def _drawn(random: Random, tokens: int, spread: float) -> int:
    return max(round(tokens * random.uniform(1.0, spread)), 1)


def _picks(kinds: Sequence[Class], random: Random) -> Callable[[], Class]:
    """The kinds in their shares, as evenly as can be: each time the one that lags most behind its share."""
    counts = [random.random() * 0.01 for _ in kinds]
    total = sum(kind.share for kind in kinds)

    def pick() -> Class:
        asked = sum(counts) + 1.0
        lags = [kind.share / total * asked - count for kind, count in zip(kinds, counts, strict=True)]
        number = lags.index(max(lags))
        counts[number] += 1.0
        return kinds[number]

    return pick


def _line(phase: Phase, requests: Sequence[ClientTruth]) -> str:
    mine = [one for one in requests if one.phase == phase.name]
    tokens, seconds = sum(one.output_tokens or 0 for one in mine), max(phase.ended - phase.began, 1e-9)
    note = f"; {phase.note}" if phase.note else ""
    return f"{phase.name}: {len(mine)} requests, {tokens} tokens in {seconds:.1f} s{note}"
