"""One server's requests: from news to lives, however disordered, doubled or lost the news is.

A request is *running* from its start's news until its end's; then it is *finished* and waits for the watermark. News
can fail in four ways, and each is counted:

    heard twice         the second is counted as a duplicate and changes nothing
    an end, no start    an orphan: counted; what it probably used goes to unattributed
    a start, no end     closed by silence after a while; what it probably used goes to unattributed
    late                the request shares what is still unclaimed

What cannot be tied to a known request becomes a *ghost*: a claim like any other, booked to unattributed.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from math import inf
from typing import Any

from exporter.domain.events import (
    LEAST_LIFE_SECONDS,
    Closing,
    Completed,
    Counted,
    Ended,
    FirstToken,
    Outcome,
    RequestEvent,
    ServerRestarted,
    Started,
    together,
)
from exporter.domain.units import Instant
from exporter.ledger.claims import Life
from exporter.pipeline.remembered import Remembered
from exporter.pipeline.usual import LEAST_SILENCE_SECONDS, SILENCE_FACTOR, Usual
from exporter.pipeline.waiting import Finished, Waiting

_FARTHEST_HORIZONS = 4.0
"""Old news tells of nothing further ahead of what has settled than this: a wrong stamp must not claim years."""
_MOST_RUNNING = 20_000


@dataclass(slots=True)
class Running:
    """A request whose end has not been heard.

    Attributes:
        since: where its unsettled part begins; later than its start only once slices it ran on have closed.
        accrued: what it was given for the part before `since`: joules by device, and decode tokens.
        late: its start was heard of after that time had settled.
    """

    news: Started
    late: bool
    since: float
    first_token: float | None = None
    accrued: dict[str, float] = field(default_factory=dict)
    accrued_tokens: float = 0.0


class Requests:
    """All requests of one server that are not settled yet.

    Attributes:
        ripe: time before this has settled.
        vouched_until: after this instant the server itself is yet to be asked whether somebody runs unknown.
        newcomers: when those ran that were not known before, until somebody takes them away; None: nobody will.
    """

    def __init__(self, *, horizon_seconds: float, since: float) -> None:
        self.running: dict[str, Running] = {}
        self.usual = Usual()
        self.closings: dict[Closing, int] = {}
        self.counted: dict[Outcome, int] = {}
        self.duplicates = 0
        self.orphans = 0
        self.ripe = since
        self.newcomers: list[tuple[float, float]] | None = None
        self.vouched_until = inf
        self._horizon = horizon_seconds
        self._since = since
        self._remembered = Remembered()
        self._given_up: OrderedDict[str, Running] = OrderedDict()
        self._fresh: list[Finished] = []
        self._waiting = Waiting()

    # --- news ------------------------------------------------------------------------------------------------------

    def hear(self, event: RequestEvent, heard_at: float | None) -> None:
        """Take in news. `heard_at` is when it arrived live; None for news from before we listened."""
        event = _plausible(event, heard_at if heard_at is not None else self.ripe + _FARTHEST_HORIZONS * self._horizon)
        match event:
            case Completed():
                self._hear_completed(event, heard_at)
            case Started():
                self._hear_started(event, heard_at)
            case FirstToken():
                self._hear_first_token(event)
            case Ended():
                self._hear_ended(event, heard_at)
            case Counted():
                self.counted[event.outcome] = self.counted.get(event.outcome, 0) + 1
            case ServerRestarted():
                self._hear_restart(event)

    def _hear_started(self, event: Started, heard_at: float | None) -> None:
        before = self._remembered.get(event.id)
        if event.id in self.running or (before is not None and (event.at <= before[0] or event.at < before[1])):
            self.duplicates += 1
            return
        self.usual.hear(event.at, heard_at)
        if len(self.running) >= _MOST_RUNNING:
            self._give_up(next(iter(self.running)), event.at)
        self._given_up.pop(event.id, None)
        self.running[event.id] = Running(event, late=event.at < self.ripe, since=event.at)
        self._introduce(event.at, inf)

    def _hear_first_token(self, event: FirstToken) -> None:
        running = self.running.get(event.id)
        if running is not None and running.first_token is None:
            running.first_token = max(event.at, running.news.at)

    def _hear_ended(self, event: Ended, heard_at: float | None) -> None:
        running = self.running.pop(event.id, None) or self._given_up.pop(event.id, None)
        if running is not None:
            self.usual.hear(event.at, heard_at)
            self._close(event.closing)
            self._finish(together(running.news, running.first_token, event), running)
        elif event.id in self._remembered:
            self.duplicates += 1
        else:
            self.orphans += 1
            self._haunt(event.id, max(event.at - self.usual.duration(), self._since), event.at)

    def _hear_completed(self, event: Completed, heard_at: float | None) -> None:
        before = self._remembered.get(event.id)
        if before is not None and event.start < before[1] and event.end > before[0]:
            self.duplicates += 1
            return
        running = self.running.pop(event.id, None) or self._given_up.pop(event.id, None)
        self.usual.hear(event.start if running is None else event.end, heard_at)
        self._close("finish")
        self._finish(event, running)

    def _hear_restart(self, event: ServerRestarted) -> None:
        """Whatever ran on the old server ended with it, and its ids mean nothing any more."""
        for id_ in [id_ for id_, running in self.running.items() if running.news.at < event.at]:
            running = self.running.pop(id_)
            self._close("restart")
            cut = Ended(id_, event.at, outcome="aborted", closing="restart")
            self._finish(together(running.news, running.first_token, cut), running)
        self._remembered.clear()
        self._given_up.clear()

    # --- lives -----------------------------------------------------------------------------------------------------

    def _finish(self, news: Completed, running: Running | None) -> None:
        outlived = running is not None and news.end - news.start > self.usual.believable()
        late = running.late or outlived if running is not None else news.start < self.ripe
        accrued = running.accrued if running is not None else {}
        finished = Finished(news, self._life(news, running), late=late, accrued=accrued)
        if running is None:
            self._introduce(news.start, news.end)
        elif running.late and running.since > running.news.at and not accrued:  # it had been given up until then
            self._introduce(running.since, news.end)
        self.usual.learn(news, finished.life)
        self._remembered.add(news.id, news.start, news.end)
        self._fresh.append(finished)

    def _life(self, news: Completed, running: Running | None) -> Life:
        # What a start's news said is out of date once the whole is known, unless time was given out on it.
        since = news.start if running is None or running.since == running.news.at else max(news.start, running.since)
        end = max(news.end, since + LEAST_LIFE_SECONDS)
        known_first = news.first_token is not None
        first = min(max(news.first_token or since, since), end)
        prompt = self.usual.prompt_tokens if news.prompt_tokens is None else news.prompt_tokens
        prefill = float(prompt - (news.cached_tokens or 0)) if since == news.start else 0.0
        if news.output_tokens is None:
            decode = self.usual.tokens_per_second * (end - first)
        else:
            decode = float(news.output_tokens - known_first) - (running.accrued_tokens if running is not None else 0.0)
        context = prompt + 0.5 * (news.output_tokens or decode)
        return Life(since, first, end, max(prefill, 0.0), max(decode, 0.0), context)

    def _introduce(self, start: float, end: float) -> None:
        """Somebody is known now who was not before."""
        if self.newcomers is not None:
            self.newcomers.append((start, end))

    def _haunt(self, id_: str, start: float, end: float) -> None:
        """Somebody was there about then. Its energy is unattributed rather than idle or everyone else's."""
        if end - start >= LEAST_LIFE_SECONDS:
            life = Life(start, start, end, 0.0, self.usual.tokens_per_second * (end - start))
            self._fresh.append(Finished(Completed(id_, Instant(start), Instant(end)), life, ghost=True))
            self._introduce(start, end)

    def _give_up(self, id_: str, now: float) -> None:
        """Its end is probably lost. Should it come after all, what the ghost did not take is still to be had."""
        running = self.running.pop(id_)
        self._close("timeout")
        self._remembered.add(id_, running.news.at, running.news.at)
        since = running.since
        usual = self.usual.duration() if self.usual.durations else now - running.news.at
        probable_end = max(min(running.news.at + usual, now), since + LEAST_LIFE_SECONDS)
        ghost = Life(since, since, probable_end, 0.0, 0.0)
        news = Completed(id_, running.news.at, Instant(ghost.end))
        self._fresh.append(Finished(news, ghost, ghost=True, accrued=running.accrued))
        tokens = running.accrued_tokens + self.usual.tokens_per_second * (ghost.end - since)
        self._given_up[id_] = replace(running, late=True, since=ghost.end, accrued={}, accrued_tokens=tokens)
        if len(self._given_up) > _MOST_RUNNING:
            self._given_up.popitem(last=False)

    def _close(self, how: Closing) -> None:
        self.closings[how] = self.closings.get(how, 0) + 1

    # --- time passes -----------------------------------------------------------------------------------------------

    def give_up_silent(self, now: float) -> None:
        """Close requests that have been running for too long to be true."""
        patience = self.usual.silence(self._horizon)
        for id_ in [id_ for id_, running in self.running.items() if now - running.news.at > patience]:
            self._give_up(id_, now)

    def fresh(self) -> list[Finished]:
        """Requests finished since this was last asked; they are to be registered now, and wait to settle."""
        fresh, self._fresh = self._fresh, []
        self._waiting.add(fresh)
        return fresh

    def due(self, until: float) -> list[Finished]:
        """Requests that ended before `until`: they are to settle now."""
        return self._waiting.due(until)

    def unsettled(self) -> list[Finished]:
        """Requests whose end is known and that have not settled."""
        return [*self._waiting.finished, *self._fresh]

    def waiting_since(self) -> float:
        """When the first of those that have ended and wait to settle began; infinite where there is none."""
        return self._waiting.since()

    def complete_until(self, until: float) -> float:
        """Everything that ran before this instant is known with its end and its tokens."""
        return min((running.since for running in self.running.values() if running.since < until), default=until)

    def settled_until(self, until: float) -> float:
        """Everything that ran before this instant has settled."""
        return min(self.complete_until(until), self.waiting_since())

    def quiet_until(self, until: float) -> float:
        """Whoever ran before this instant is known, though the next request be three times as long as any before it."""
        delay = self.usual.delay() if self.usual.heard else LEAST_SILENCE_SECONDS / 2.0
        return min(until - (SILENCE_FACTOR - 1.0) * delay, self.vouched_until)

    def reservations(self, until: float) -> list[Life]:
        """What running requests hold up to `until`."""
        return [life for _, life in self.overlong(until)]

    def overlong(self, until: float) -> Iterator[tuple[Running, Life]]:
        """Running requests that began before `until`, and their lives up to it as far as they are believed."""
        belief = self.usual.believable()
        for running in self.running.values():
            believed = min(until, running.news.at + belief)
            if running.since < believed:
                yield running, self._so_far(running, believed)

    def _so_far(self, running: Running, until: float) -> Life:
        first = max(running.first_token or running.since, running.since)
        first = min(first, until)
        told = running.news.prompt_tokens
        prompt = self.usual.prompt_tokens if told is None else told
        decode = self.usual.tokens_per_second * (until - first)
        context = prompt + running.accrued_tokens + 0.5 * decode
        prefill = float(prompt) if running.since == running.news.at else 0.0
        return Life(running.since, first, until, prefill, decode, context)

    # --- across restarts -------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {
            "running": [_saved(running) for running in self.running.values()],
            "finished": [_saved(finished) for finished in self.unsettled()],
            "registered": len(self._waiting.finished),
            "remembered": self._remembered.latest(),
            "closings": self.closings,
            "counted": self.counted,
            "duplicates": self.duplicates,
            "orphans": self.orphans,
            "usual": self.usual.snapshot(),
            "ripe": self.ripe,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        for saved in snapshot["running"]:
            running = Running(**{**saved, "news": Started(**saved["news"])})
            self.running[running.news.id] = running
        finished = [
            Finished(**{**saved, "news": Completed(**saved["news"]), "life": Life(*saved["life"])})
            for saved in snapshot["finished"]
        ]
        registered = snapshot["registered"]
        self._waiting, self._fresh = Waiting(finished[:registered]), finished[registered:]
        self._remembered.restore(snapshot["remembered"])
        self.closings, self.counted = dict(snapshot["closings"]), dict(snapshot["counted"])
        self.duplicates, self.orphans, self.ripe = snapshot["duplicates"], snapshot["orphans"], snapshot["ripe"]
        self.usual.restore(snapshot["usual"])


def _defaults(kind: type[Any]) -> dict[str, Any]:
    """The fields of a dataclass with what they hold if nothing else is said."""
    return {
        one.name: one.default_factory() if one.default_factory is not MISSING else one.default for one in fields(kind)
    }


_DEFAULTS = {kind: _defaults(kind) for kind in (Started, Completed, Running, Finished)}


def _saved(one: Running | Finished) -> dict[str, Any]:
    """As JSON values; what is as usual is left out, because this is written every few seconds."""
    return {**_unusual(one), "news": _unusual(one.news)}


def _unusual(one: Running | Finished | Started | Completed) -> dict[str, Any]:
    return {name: value for name, usual in _DEFAULTS[type(one)].items() if (value := getattr(one, name)) != usual}


def _plausible(event: RequestEvent, latest: float) -> RequestEvent:
    """The same event, not after its news and not ending before it starts."""
    if isinstance(event, Completed):
        end = min(event.end, latest)
        start = min(event.start, end)
        good = start == event.start and end == event.end
        return event if good else replace(event, start=Instant(start), end=Instant(end))
    return event if event.at <= latest else replace(event, at=Instant(latest))
