"""What a server says of itself, held against what was told of its requests.

Theory of operation. A gauge says how many requests ran at one instant. Once everything that will be told of that
instant has been told, the most that can have run then by what is known is counted: every known request is taken to be
there as long as the uncertainty of its edges allows, and the gauge's own instant is widened too. What the server says
beyond that is a *surplus*: requests that nobody told of. Between two gauges so many are believed to have been there as
both show; half way to the next gauge, also those that one shows beyond all doubt, even if edges were seconds off.
They become company (`ledger/company.py`).

While there may be a surplus, settling waits for the next gauge; a gauge that shows none delays nothing.

Between two gauges the server's own counters say how many tokens it generated. Divided over the seconds that requests
decoded meanwhile they give the rate at which each gained tokens, for servers whose log does not say.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf, nan
from typing import Any

import numpy as np

from exporter.domain.gauges import Gauge
from exporter.ledger.claims import Floats
from exporter.ledger.company import Company
from exporter.pipeline.requests import Requests
from exporter.pipeline.waiting import Finished

_NEAR_SECONDS = 0.5
"""A server's gauge may lag its batch by some engine steps."""
_FAR_SECONDS = 2.0
"""If nobody known can have been there even so far from the gauge, somebody unknown was."""
_MOST_APART_SECONDS = 30.0
"""Gauges farther apart say nothing of the time between them."""
_PATIENCE_SECONDS = 15.0
"""Settling waits so long for the next gauge."""
_MOST_PENDING = 1_000
_MOST_PAST = 20_000
_MOST_RATES = 1_000
_KEEP = 0.9
"""What of its history the mean of prompts keeps at each gauge."""


@dataclass(slots=True)
class _Seen:
    """A gauge behind the watermark. `surplus`: who ran unknown, at most; `sure`: beyond doubt."""

    gauge: Gauge
    surplus: float
    sure: float


@dataclass(frozen=True, slots=True)
class _Rate:
    """Tokens a second that each decoding request gained in [start, end)."""

    start: float
    end: float
    tokens_per_second: float


class Gauges:
    """One server's gauges. `latest`: what it said last; None if it never said anything."""

    def __init__(self, requests: Requests, company: Company) -> None:
        self.latest: Gauge | None = None
        self._requests = requests
        self._company = company
        self._pending: deque[Gauge] = deque(maxlen=_MOST_PENDING)
        self._seen: _Seen | None = None
        self._past: deque[tuple[float, float, float, float, float]] = deque(maxlen=_MOST_PAST)
        self._rates: deque[_Rate] = deque(maxlen=_MOST_RATES)
        self._prompts = self._starts = 0.0

    # --- what happens ----------------------------------------------------------------------------------------------

    def hear(self, gauge: Gauge) -> None:
        """The server said this; what is not after the latest is no news."""
        if self.latest is not None and gauge.at <= self.latest.at:
            return
        if self.latest is None:
            self._requests.newcomers = []
        self.latest = gauge
        self._pending.append(gauge)

    def settled(self, finished: Sequence[Finished]) -> None:
        """These are known, and will not be found among the requests any more."""
        if self.latest is not None:
            self._past.extend(map(_finished_row, finished))

    def look(self, until: float) -> None:
        """Everything before `until` has been told: see what gauges say of it."""
        if self.latest is None:
            return
        self._give_way()
        while self._pending and self._pending[0].at + self._pending[0].uncertainty + _NEAR_SECONDS <= until:
            self._see(self._pending.popleft())
        asked = self._seen is not None and until <= self.latest.at + _PATIENCE_SECONDS
        self._requests.vouched_until = self._seen.gauge.at if self._seen is not None and asked else inf

    def wait(self, until: float) -> float:
        """How far requests may settle, of what has been told until then."""
        seen, latest = self._seen, self.latest
        if seen is None or latest is None or until > latest.at + _PATIENCE_SECONDS:
            return until
        lives = self._lives()
        doubtful = seen.surplus > 0.0 or any(self._surplus(one, lives, _NEAR_SECONDS) > 0.0 for one in self._pending)
        return min(until, seen.gauge.at) if doubtful else until

    def running(self, now: float) -> float | None:
        """How many run now, as the server says; None where it does not, or has not for a while."""
        latest = self.latest
        return latest.running if latest is not None and now - latest.at <= _MOST_APART_SECONDS else None

    def forget(self, before: float) -> None:
        """Slices before this instant have closed."""
        self._company.forget(before)
        while self._rates and self._rates[0].end <= before:
            self._rates.popleft()

    # --- who ran ---------------------------------------------------------------------------------------------------

    def _see(self, gauge: Gauge) -> None:
        lives = self._lives()
        seen = _Seen(gauge, self._surplus(gauge, lives, _NEAR_SECONDS), self._surplus(gauge, lives, _FAR_SECONDS))
        before, self._seen = self._seen, seen
        if before is not None and gauge.at - before.gauge.at <= _MOST_APART_SECONDS:
            self._believe(before, seen)
            self._count(before.gauge, gauge, lives)
        while self._past and self._past[0][2] < gauge.at - _MOST_APART_SECONDS:
            self._past.popleft()

    def _believe(self, before: _Seen, after: _Seen) -> None:
        """Who was there unknown between these two gauges."""
        both = min(before.surplus, after.surplus)
        start, end = before.gauge.at, after.gauge.at
        middle = 0.5 * (start + end)
        self._company.add(start, middle, max(both, before.sure))
        self._company.add(middle, end, max(both, after.sure))
        if before.surplus > 0.0 or after.surplus > 0.0:
            self._company.suspect(start, end)

    def _give_way(self) -> None:
        """Whoever is told of only now was among the unknown."""
        newcomers, self._requests.newcomers = self._requests.newcomers or [], []
        seen = self._seen
        if seen is None:
            return
        for start, end in newcomers:
            if start < seen.gauge.at:
                self._company.give_way(start, min(end, seen.gauge.at))
            if start < seen.gauge.at + _NEAR_SECONDS and end > seen.gauge.at - _NEAR_SECONDS:
                seen.surplus, seen.sure = max(seen.surplus - 1.0, 0.0), max(seen.sure - 1.0, 0.0)

    def _surplus(self, gauge: Gauge, lives: Floats, margin: float) -> float:
        """How many more ran than can be known to."""
        if gauge.running is None:
            return 0.0
        reach = gauge.uncertainty + margin
        return max(gauge.running - _most_at_once(lives, gauge.at - reach, gauge.at + reach), 0.0)

    def _lives(self) -> Floats:
        """Everybody known: start, begin of decode, end, uncertainties of start and end; of shape (5, requests)."""
        rows = [*self._past, *map(_finished_row, self._requests.unsettled())]
        rows += [
            (one.news.at, one.first_token or one.news.at, inf, one.news.uncertainty, 0.0)
            for one in self._requests.running.values()
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 5).T

    # --- tokens ----------------------------------------------------------------------------------------------------

    def _count(self, before: Gauge, after: Gauge, lives: Floats) -> None:
        """What counters say of the time between two gauges. One that went back began anew, and says nothing."""
        start, decode, end = lives[0], lives[1], lives[2]
        seconds = float(np.maximum(np.minimum(end, after.at) - np.maximum(decode, before.at), 0.0).sum())
        seconds += self._company.seconds(before.at, after.at)
        output = _gain(before.output_tokens, after.output_tokens)
        if output and seconds <= 0.0:
            self._company.suspect(before.at, after.at)
        if output is not None:
            self._rates.append(_Rate(before.at, after.at, output / seconds if seconds > 0.0 else 0.0))
            if seconds > 0.0 and output > 0.0:
                self._requests.usual.hear_token_rate(output / seconds)
        prompts = _gain(before.prompt_tokens, after.prompt_tokens)
        if prompts is not None:
            started = float(((start >= before.at) & (start < after.at)).sum())
            self._prompts, self._starts = _KEEP * self._prompts + prompts, _KEEP * self._starts + started
            if self._starts > 0.0:
                self._requests.usual.hear_prompts(self._prompts / self._starts)

    @property
    def counts_tokens(self) -> bool:
        """Whether the server's counters stand in for a log that does not tell tokens."""
        return bool(self._rates) and not self._requests.usual.tells_tokens

    def counted_until(self) -> float:
        """How far the counters have been read."""
        return self._rates[-1].end if self._rates else -inf

    def token_rates(self, first: int, stop: int, slice_seconds: float) -> Floats:
        """Tokens a second of each decoding request in slices [first, stop); NaN where nothing says so.

        Beyond the latest gauge the latest rate goes on.
        """
        rates = np.full(stop - first, nan)
        for one in self._rates:
            if one.end > first * slice_seconds and one.start < stop * slice_seconds:
                begin, end = (round(edge / slice_seconds) - first for edge in (one.start, one.end))
                rates[max(begin, 0) : max(end, 0)] = one.tokens_per_second
        if self._rates:
            last = round(self._rates[-1].end / slice_seconds) - first
            rates[max(last, 0) :] = self._requests.usual.tokens_per_second
        return rates

    # --- across restarts -------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {
            "latest": asdict(self.latest) if self.latest is not None else None,
            "pending": [asdict(one) for one in self._pending],
            "seen": asdict(self._seen) if self._seen is not None else None,
            "past": list(self._past),
            "company": self._company.snapshot(),
            "rates": [[one.start, one.end, one.tokens_per_second] for one in self._rates],
            "prompts": [self._prompts, self._starts],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        if snapshot["latest"] is None:
            return
        self.latest = Gauge(**snapshot["latest"])
        self._requests.newcomers = []
        self._pending.extend(Gauge(**one) for one in snapshot["pending"])
        if snapshot["seen"] is not None:
            self._seen = _Seen(**{**snapshot["seen"], "gauge": Gauge(**snapshot["seen"]["gauge"])})
        self._past.extend((row[0], row[1], row[2], row[3], row[4]) for row in snapshot["past"])
        self._company.restore(snapshot["company"])
        self._rates.extend(_Rate(*one) for one in snapshot["rates"])
        self._prompts, self._starts = snapshot["prompts"]


def _finished_row(one: Finished) -> tuple[float, float, float, float, float]:
    news = one.news
    return news.start, news.first_token or news.start, news.end, news.start_uncertainty, news.end_uncertainty


def _most_at_once(lives: Floats, since: float, until: float) -> int:
    """The most that can have been there at one instant of [since, until]; of shape (5, requests) as above."""
    start, _, end, before, after = lives
    start, end = start - before, end + after
    here = (start <= until) & (end >= since)
    if not here.any():
        return 0
    begin, over = np.sort(start[here]), np.sort(end[here])
    moments = np.maximum(begin, since)
    there = np.searchsorted(begin, moments, "right") - np.searchsorted(over, moments, "left")
    return int(there.max())


def _gain(before: float | None, after: float | None) -> float | None:
    """By how much a counter grew; None where that is not known."""
    return after - before if before is not None and after is not None and after >= before else None
