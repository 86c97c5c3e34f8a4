"""One request, told by several sources: which tellings belong together. Pure: no I/O, no clock.

Theory of operation. The source that stands first *leads*: what it tells is passed on as it comes, so that requests hold
their reservations while they run. When it tells an end, that end waits a little for what the others, its *witnesses*,
have to say of the same request; then one end is passed on that says it all (see `telling.merged`).

Two tellings belong together if they share a name: an id, or what an engine made of one (`chatcmpl-ID`, `cmpl-ID-0`). A
witness of which no name has ever matched, such as a log that only numbers its requests, is matched by when requests
ended and by their tokens. What a witness tells of a request that the leader never tells of is passed on by itself:
traffic that goes past the leader counts too. So every request counts once, whoever tells of it, and nothing is held
for longer than recent tellings of one request were apart, and some more.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

from exporter.domain.events import Completed, Ended, FirstToken, ServerRestarted, Started
from exporter.domain.units import Instant
from exporter.feeds.feed import Told
from exporter.feeds.pairing import paired
from exporter.feeds.telling import (
    Begun,
    Telling,
    distance,
    is_near,
    merged,
    names_of,
    packed,
    packed_begun,
    unpacked,
    unpacked_begun,
    whole,
)

_FIRST_PATIENCE_SECONDS = 2.0
_LEAST_PATIENCE_SECONDS = 0.5
_MOST_PATIENCE_SECONDS = 15.0
_PATIENCE_FACTOR = 1.5
_RECENT = 64
_MISSES = 20
"""A witness that said nothing of so many requests in a row is not waited for until it speaks again."""
_MOST = 20_000
_MOST_PASSED_ON = 4_096


class _Patience:
    """How long to wait for a telling: somewhat longer than the latest ones came late."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=_RECENT)

    def learn(self, lag: float) -> None:
        self._lags.append(max(lag, 0.0))

    @property
    def seconds(self) -> float:
        if not self._lags:
            return _FIRST_PATIENCE_SECONDS
        return min(max(_PATIENCE_FACTOR * max(self._lags), _LEAST_PATIENCE_SECONDS), _MOST_PATIENCE_SECONDS)


class _Witness:
    """One of the other sources, and what is known of how it tells.

    Attributes:
        begun: requests whose start it told. alone: those whose end it told and the leader did not, by their number.
        is_named: whether a name of its has ever been the leader's too.
        patience: how long to wait for it. leaders: how long to wait for the leader, once it has spoken.
    """

    def __init__(self) -> None:
        self.begun: OrderedDict[str, Begun] = OrderedDict()
        self.alone: OrderedDict[int, Telling] = OrderedDict()
        self.is_named = False
        self.patience = _Patience()
        self.leaders = _Patience()
        self._by_name: dict[str, int] = {}
        self._misses = 0
        self._count = 0

    @property
    def is_expected(self) -> bool:
        return self._misses < _MISSES

    def matched(self, lag: float, *, by_name: bool) -> None:
        """It told of a request `lag` seconds after the leader did, or before it."""
        (self.patience if lag >= 0.0 else self.leaders).learn(abs(lag))
        self._misses = 0
        self.is_named = self.is_named or by_name

    def missed(self) -> None:
        self._misses += 1

    def keep(self, telling: Telling) -> None:
        self._count += 1
        telling.is_led = False
        telling.told = Told(telling.life, telling.told.heard_at)  # its start has never been passed on
        self.alone[self._count] = telling
        self._by_name.update(dict.fromkeys(telling.names, self._count))
        if len(self.alone) > _MOST:
            self.let_go(next(iter(self.alone)))

    def let_go(self, number: int) -> Telling:
        telling = self.alone.pop(number)
        for name in telling.names:
            if self._by_name.get(name) == number:
                del self._by_name[name]
        return telling

    def named(self, names: Iterable[str]) -> int | None:
        """The number of what it told under one of these names."""
        return next((number for name in names if (number := self._by_name.get(name)) is not None), None)


class Joiner:
    """Makes one story out of several sources' tellings. Sources are numbered in the order of belief; 0 leads.

    Attributes:
        repeats: tellings that came after their request had been passed on.
    """

    def __init__(self, sources: int) -> None:
        self.repeats = 0
        self._begun: OrderedDict[str, Begun] = OrderedDict()
        self._waiting: OrderedDict[str, Telling] = OrderedDict()
        self._by_name: dict[str, str] = {}
        self._passed_on: OrderedDict[int, Telling] = OrderedDict()
        self._passed_on_by_name: dict[str, int] = {}
        self._count = 0
        self._witnesses = {number: _Witness() for number in range(1, sources)}

    def hear(self, source: int, told: Told, now: Instant) -> list[Told]:
        """Take in what a source told; returns what is to be passed on at once."""
        if source == 0:
            return self._hear_leader(told, now)
        self._hear_witness(source, told, now)
        return []

    def release(self, now: Instant) -> list[Told]:
        """Time has come to `now`: returns what has been told by everyone, or has waited long enough."""
        for number, witness in self._witnesses.items():
            if witness.alone and not witness.is_named:
                self._match_by_life(number, witness, now)
        ready = [telling for telling in self._waiting.values() if self._is_ready(telling, now)]
        passed_on = [self._pass_on(telling) for telling in ready]
        for number, witness in self._witnesses.items():
            passed_on += self._pass_on_alone(number, witness, now)
        return passed_on

    def complete_until(self, until: Instant) -> Instant:
        """Everything that ended before this instant has been passed on, if sources have been heard until `until`."""
        held = [telling.life.end for telling in self._waiting.values()]
        for witness in self._witnesses.values():
            held += [telling.life.end for telling in witness.alone.values()]
        return min([until, *held])

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values: what was told and not yet passed on, and what lately was."""
        return {
            "begun": [packed_begun(one) for one in self._begun.values()],
            "waiting": [packed(one) for one in self._waiting.values()],
            "witnesses": {
                str(source): {
                    "begun": [packed_begun(one) for one in witness.begun.values()],
                    "alone": [packed(one) for one in witness.alone.values()],
                    "is_named": witness.is_named,
                }
                for source, witness in self._witnesses.items()
            },
            "passed_on": [packed(one) for _, one in reversed(self._latest_passed_on())],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of as many sources.

        Raises:
            UnfitError, KeyError, TypeError, ValueError: it is none.
        """
        for saved in snapshot["passed_on"]:
            self._keep_passed_on(unpacked(saved))
        for saved in snapshot["begun"]:
            begun = unpacked_begun(saved)
            self._begun[begun.started.id] = begun
            self._name(begun.started.id, begun.names)
        for saved in snapshot["waiting"]:
            telling = unpacked(saved)
            self._waiting[telling.life.id] = telling
            self._name(telling.life.id, telling.names)
        for source, witness in self._witnesses.items():
            kept = snapshot["witnesses"][str(source)]
            witness.begun.update((one.started.id, one) for one in map(unpacked_begun, kept["begun"]))
            for saved in kept["alone"]:
                witness.keep(unpacked(saved))
            witness.is_named = bool(kept["is_named"])

    # --- the leader ------------------------------------------------------------------------------------------------

    def _hear_leader(self, told: Told, now: Instant) -> list[Told]:
        event = told.event
        match event:
            case Started():
                self._begin(self._begun, told)
                self._name(event.id, self._begun[event.id].names)
            case FirstToken() if event.id in self._begun:
                self._begun[event.id].first_token = event.at
            case Ended() if event.id in self._begun:
                return self._wait(whole(self._begun.pop(event.id), event, told, told.heard_at or now))
            case Completed():
                begun = self._begun.pop(event.id, None)
                telling = Telling(event, names_of(event.id, told.aliases), told, told.heard_at or now)
                return self._wait(telling) if begun is not None else self._wait_if_new(telling)
            case Ended() if self._was_passed_on(names_of(event.id) | {event.id}) is not None:
                self.repeats += 1
                return []
            case ServerRestarted():
                self._begun.clear()
            case _:
                pass
        return [told]

    def _wait_if_new(self, telling: Telling) -> list[Told]:
        """The leader tells of a whole request at once: a witness may have told of it long ago."""
        earlier = self._told_before(telling)
        if earlier is None:
            return self._wait(telling)
        earlier.is_led = True
        for source in earlier.witnesses:
            self._witnesses[source].matched(earlier.at - telling.at, by_name=bool(telling.names & earlier.names))
        self.repeats += 1
        return []

    def _wait(self, telling: Telling) -> list[Told]:
        """The leader told an end. Witnesses that spoke before are heard now; the others may still come."""
        self._name(telling.life.id, telling.names)
        self._remember(self._waiting, telling.life.id, telling)
        for source, witness in self._witnesses.items():
            number = witness.named(telling.names)
            if number is not None and is_near(witness.alone[number].life, telling.life):
                self._join(source, telling, witness.let_go(number), by_name=True)
        return []

    def _is_ready(self, telling: Telling, now: Instant) -> bool:
        missing = [self._witnesses[number] for number in self._witnesses.keys() - telling.witnesses.keys()]
        return all(not one.is_expected or now - telling.at >= one.patience.seconds for one in missing)

    def _pass_on(self, telling: Telling) -> Told:
        del self._waiting[telling.life.id]
        for number in self._witnesses.keys() - telling.witnesses.keys():
            self._witnesses[number].missed()
        self._keep_passed_on(telling)
        return _together(telling)

    # --- witnesses -------------------------------------------------------------------------------------------------

    def _hear_witness(self, source: int, told: Told, now: Instant) -> None:
        begun, event = self._witnesses[source].begun, told.event
        match event:
            case Started():
                self._begin(begun, told)
            case FirstToken() if event.id in begun:
                begun[event.id].first_token = event.at
            case Ended() if event.id in begun:
                self._testify(source, whole(begun.pop(event.id), event, told, told.heard_at or now))
            case Completed():
                begun.pop(event.id, None)
                self._testify(source, Telling(event, names_of(event.id, told.aliases), told, told.heard_at or now))
            case _:
                pass  # an end without a start, a request that can only be counted, a restart: the leader knows better

    def _testify(self, source: int, telling: Telling) -> None:
        """A witness told of a whole request: of which?"""
        for name in telling.names:
            waiting = self._waiting.get(self._by_name.get(name, ""))
            if waiting is not None and source not in waiting.witnesses and is_near(waiting.life, telling.life):
                self._join(source, waiting, telling, by_name=True)
                return
        number = self._was_passed_on(telling.names)
        if number is not None and is_near(self._passed_on[number].life, telling.life):
            self._witnesses[source].matched(telling.at - self._passed_on[number].at, by_name=True)
            self.repeats += 1
        else:
            self._witnesses[source].keep(telling)

    def _join(self, source: int, waiting: Telling, telling: Telling, *, by_name: bool) -> None:
        waiting.witnesses[source] = telling.life
        self._witnesses[source].matched(telling.at - waiting.at, by_name=by_name)

    def _pass_on_alone(self, source: int, witness: _Witness, now: Instant) -> Iterator[Told]:
        """What a witness told of, and the leader will not tell of any more."""
        patience = witness.leaders.seconds
        for number in [number for number, one in witness.alone.items() if now - one.at >= patience]:
            telling = witness.let_go(number)
            telling.witnesses[source] = telling.life
            begun = next((id_ for name in telling.names if (id_ := self._by_name.get(name)) in self._begun), None)
            if begun is not None:  # the leader told its start, and lost its end
                telling = self._with_start(begun, source, telling)
            elif not witness.is_named and self._told_late(source, witness, telling):
                continue
            self._keep_passed_on(telling)
            yield _together(telling)

    def _with_start(self, id_: str, source: int, telling: Telling) -> Telling:
        life = telling.life
        end = Ended(id_, life.end, life.end_uncertainty, life.outcome, output_tokens=life.output_tokens)
        led = whole(self._begun.pop(id_), end, telling.told, telling.at)
        led.witnesses[source] = life
        return led

    def _told_late(self, source: int, witness: _Witness, telling: Telling) -> bool:
        """Whether this nameless telling is of a request that was passed on before."""
        late = [
            (distance(one.life, telling.life), number)
            for number, one in self._latest_passed_on()
            if source not in one.witnesses
        ]
        apart, number = min(late, default=(inf, 0))
        if apart == inf:
            return False
        self._passed_on[number].witnesses[source] = telling.life
        witness.matched(telling.at - self._passed_on[number].at, by_name=False)
        self.repeats += 1
        return True

    # --- who is who ------------------------------------------------------------------------------------------------

    def _match_by_life(self, source: int, witness: _Witness, now: Instant) -> None:
        """Join those that bear no common name by when they ended, the closest first, once all have been told."""
        due = [one for one in self._waiting.values() if source not in one.witnesses]
        waited = [now - one.at >= witness.patience.seconds for one in due]
        waited += [now - one.at >= witness.leaders.seconds for one in witness.alone.values()]
        if not any(waited):
            return
        for waiting, number in paired(due, witness.alone):
            self._join(source, waiting, witness.let_go(number), by_name=False)

    def _was_passed_on(self, names: Iterable[str]) -> int | None:
        """The number of what was passed on under one of these names."""
        by_name = self._passed_on_by_name
        return next((by_name[name] for name in names if by_name.get(name) in self._passed_on), None)

    def _told_before(self, telling: Telling) -> Telling | None:
        """What was passed on without the leader and seems to be of this request."""
        number = self._was_passed_on(telling.names)
        if number is not None:
            named = self._passed_on[number]
            return named if not named.is_led and is_near(named.life, telling.life) else None
        nameless = [
            one
            for _, one in self._latest_passed_on()
            if not one.is_led and not any(self._witnesses[source].is_named for source in one.witnesses)
        ]
        nearest = min(nameless, key=lambda one: distance(one.life, telling.life), default=None)
        return nearest if nearest is not None and distance(nearest.life, telling.life) < inf else None

    def _latest_passed_on(self) -> list[tuple[int, Telling]]:
        latest: list[tuple[int, Telling]] = []
        for number in reversed(self._passed_on):
            latest.append((number, self._passed_on[number]))
            if len(latest) >= _RECENT:
                break
        return latest

    def _keep_passed_on(self, telling: Telling) -> None:
        self._count += 1
        self._passed_on[self._count] = telling
        self._passed_on_by_name.update(dict.fromkeys(telling.names | {telling.life.id}, self._count))
        if len(self._passed_on) > _MOST_PASSED_ON:
            self._passed_on.popitem(last=False)
        _bound(self._passed_on_by_name)

    def _begin(self, where: OrderedDict[str, Begun], told: Told) -> None:
        assert isinstance(told.event, Started)
        self._remember(where, told.event.id, Begun(told.event, names_of(told.event.id, told.aliases)))

    def _name(self, id_: str, names: Iterable[str]) -> None:
        self._by_name.update(dict.fromkeys(names, id_))
        _bound(self._by_name)

    @staticmethod
    def _remember(where: OrderedDict[str, Any], id_: str, what: Any) -> None:
        where[id_] = what
        if len(where) > _MOST:
            where.popitem(last=False)


def _bound(names: dict[str, Any]) -> None:
    while len(names) > 4 * _MOST:
        del names[next(iter(names))]


def _together(telling: Telling) -> Told:
    """What is passed on of a request: its end as it was told, unless others have something to add."""
    others = [telling.witnesses[number] for number in sorted(telling.witnesses)]
    if all(one is telling.life for one in others):
        return telling.told
    return Told(merged([telling.life, *others]), telling.told.heard_at)
