"""One setting tried on the load that there is: set, wait until the books are steady, measure.

What ran before the setting changed settles later: nothing counts before the time has passed that requests take and the
exporter waits for news of them. Then short windows follow each other until two agree in power and in tokens a second.
If they never do, or the halves of what is measured disagree, the trial counts and is marked unsteady. If the exporter
starts anew in between, the trial begins again.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol

from exporter.domain.errors import TuneError
from exporter.tune import page
from exporter.tune.books import Books, UnreachableError
from exporter.tune.objective import Objective
from exporter.tune.page import Interval, Page, RestartedError, Subject
from exporter.tune.trial import Trial

_TRIES = 3
_PARTS = 8
_LONGER = 4
"""So many times --seconds at most, where requests are few."""

_WINDOWS = 4
"""Windows that are looked at for steadiness are as long as this part of a trial."""

_POWER_TOLERANCE, _TOKENS_TOLERANCE = 0.03, 0.1
_SIGMAS = 3.0
_TOO_SLOW = 1.5
"""A latency so far beyond its bound needs no more requests to be sure."""

_SLOW_SHARE = 0.95
"""Of the requests that ran at the change, those that are waited for."""

_PATIENCE_SECONDS, _RETRY_SECONDS = 60.0, 1.0


class Time(Protocol):
    """What a trial must know of time."""

    def now(self) -> float:
        """Seconds since any fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class RealTime:
    """As it passes."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a trial takes.

    Attributes:
        seconds: measured. least_requests: longer, until so many have settled.
        most_wait_seconds: until it is steady.
    """

    seconds: float = 60.0
    least_requests: int = 30
    most_wait_seconds: float = 180.0

    def worst_seconds(self, trials: int) -> float:
        """How long so many trials take at most, as long as the exporter answers."""
        return trials * (self.most_wait_seconds + self.seconds / _WINDOWS + _LONGER * self.seconds)


@dataclass(slots=True)
class Bench:
    """Where trials are made.

    Attributes:
        books: of the exporter. time: that passes. subject: whose books.
        say: told what happens now, in a few words.
        cautions: what was noticed of the books, each once.
    """

    books: Books
    time: Time
    subject: Subject
    objective: Objective
    pace: Pace
    say: Callable[[str], None] = lambda _: None
    cautions: list[str] = field(default_factory=list)
    methods: frozenset[str] = frozenset()

    async def try_out(self, setting: int, turn: Callable[[int], None], bound_seconds: float | None = None) -> Trial:
        """Measure one setting.

        Args:
            setting: what is tried.
            turn: sets it.
            bound_seconds: the latency that is bearable: far beyond it the trial ends early; None: any is.

        Raises:
            TuneError: it cannot be set, or the exporter does not answer or starts anew again and again.
        """
        before = await self._read()
        turn(setting)
        for _ in range(_TRIES):
            try:
                steady = await self._settle(before)
                return await self._measure(setting, bound_seconds, steady=steady)
            except RestartedError as error:
                self.say(f"{error}: once more")
                before = await self._read()
        raise TuneError(
            "the exporter was restarted in every trial: nothing can be measured until it stays up (its log says why)"
        )

    async def _settle(self, before: Page) -> bool:
        """Wait until it is steady; whether it is."""
        begin = self.time.now()
        first = await self._flush(before)
        window = self.pace.seconds / _WINDOWS
        previous: Interval | None = None
        while self.time.now() - begin < self.pace.most_wait_seconds:
            self.say("waiting until it is steady")
            await self.time.sleep(window)
            after = await self._read()
            latest = page.between(first, after, self.subject)
            if previous is not None and _agree(previous, latest):
                return True
            previous, first = latest, after
        return False

    async def _flush(self, before: Page) -> Page:
        """Let what ran before the change settle: the first page that counts."""
        lag = page.settle_lag(before, self.subject)
        longest = page.lives(before, self.subject).quantile(_SLOW_SHARE) or 0.0
        self.say("waiting until what ran before has settled")
        await self.time.sleep(min(lag + longest, self.pace.most_wait_seconds))
        return await self._read()

    async def _measure(self, setting: int, bound_seconds: float | None, *, steady: bool) -> Trial:
        pages = [await self._read()]
        begin = self.time.now()
        while True:
            await self.time.sleep(self.pace.seconds / _PARTS)
            pages.append(await self._read())
            whole = page.between(pages[0], pages[-1], self.subject)
            self.say(f"measuring: {whole.requests:.0f} requests")
            passed = self.time.now() - begin
            if self._enough(whole, passed, bound_seconds):
                return self._trial(setting, pages, whole, steady=steady)

    def _enough(self, whole: Interval, passed: float, bound_seconds: float | None) -> bool:
        latency = whole.latency(self.objective)
        half = 0.5 * self.pace.least_requests
        if bound_seconds and latency and whole.requests >= half and latency > _TOO_SLOW * bound_seconds:
            return True
        # A pause falls short of its length by the clock's grain: a part is not added for that.
        if passed < (1.0 - 0.5 / _PARTS) * self.pace.seconds:
            return False
        return whole.requests >= self.pace.least_requests or passed >= _LONGER * self.pace.seconds

    def _trial(self, setting: int, pages: list[Page], whole: Interval, *, steady: bool) -> Trial:
        parts = page.parts_between(pages, self.subject)
        middle = pages[len(pages) // 2]
        halves = [page.between(*ends, self.subject) for ends in ((pages[0], middle), (middle, pages[-1]))]
        told_enough = whole.requests >= self.pace.least_requests
        self.methods |= whole.methods
        self._notice(whole)
        return Trial(
            setting=setting,
            seconds=whole.seconds,
            joules=whole.joules,
            output_tokens=round(whole.output_tokens),
            requests=round(whole.requests),
            latency_seconds=whole.latency(self.objective) if told_enough else None,
            device_joules=whole.device_joules,
            steady=steady and told_enough and _agree(*halves),
            at_seconds=whole.at,
            error=page.relative_error(parts),
        )

    def _notice(self, whole: Interval) -> None:
        if whole.requests and whole.told < 0.95 * whole.requests:
            self._caution("Some requests have no output tokens in the books: their joules count, their tokens cannot.")
        if whole.device_joules and whole.unattributed_joules > 0.2 * whole.device_joules:
            self._caution(
                "More than a fifth of the energy is unattributed: requests ran that nobody told of, and their joules "
                "do not count."
            )

    def _caution(self, text: str) -> None:
        if text not in self.cautions:
            self.cautions.append(text)

    async def _read(self) -> Page:
        """The books; an exporter that does not answer is asked again for a while."""
        begin = self.time.now()
        while True:
            try:
                return await self.books.read()
            except UnreachableError:
                if self.time.now() - begin >= _PATIENCE_SECONDS:
                    raise
                self.say("the exporter does not answer: waiting for it")
                await self.time.sleep(_RETRY_SECONDS)


def _agree(one: Interval, other: Interval) -> bool:
    """Whether two windows tell of the same power and throughput, as far as their few requests allow."""
    if not (one.seconds and other.seconds and one.requests and other.requests):
        return False
    watts = (one.device_joules / one.seconds, other.device_joules / other.seconds)
    rates = (one.output_tokens / one.seconds, other.output_tokens / other.seconds)
    tolerance = max(_TOKENS_TOLERANCE, _SIGMAS * sqrt(1.0 / one.requests + 1.0 / other.requests))
    return _near(*watts, _POWER_TOLERANCE) and _near(*rates, tolerance)


def _near(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) <= tolerance * max(one, other)
