"""Two accounts side by side: what changed, and what speaks against comparing them. Pure."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.domain.readings import Method
from exporter.domain.snapshot import HistogramValue
from exporter.report.account import Account, DeviceBook, Usage
from exporter.report.distribution import merged, quantile
from exporter.report.leaderboard import covers
from exporter.report.summary import Comparison, Difference
from exporter.report.totals import methods, tokens

SHORT_SECONDS = 600.0
FEW_REQUESTS = 100
FAR_APART = 1.25
"""Tokens per request, second over first or the other way round, from which requests are not of one kind."""
OTHER_LOAD = 2.0
"""Requests a second, likewise: a server that has less to do batches less, and spends more on each token."""


def compare(first: Account, second: Account) -> Comparison:
    """Two periods, or two deployments."""
    sides = _Side(first, first.usages), _Side(second, second.usages)
    both = sorted({one.model for side in sides for one in side.usages})
    by_model = {model: (sides[0].of(model), sides[1].of(model)) for model in both}
    return Comparison(
        first=first.name,
        second=second.name,
        overall=[*_whole(first, second), *_differences(*sides)],
        models={model: _differences(*pair) for model, pair in by_model.items()},
        cautions=tuple(_cautions(sides, by_model)),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """Some usages of an account, added up."""

    account: Account
    usages: Sequence[Usage]

    def of(self, model: str) -> "_Side":
        """Only those of one model."""
        return _Side(self.account, [one for one in self.usages if one.model == model])

    @property
    def methods(self) -> set[Method]:
        return {one.method for one in self.usages if one.method is not None}

    @property
    def energy(self) -> HistogramValue | None:
        """Of requests; None where nothing is known, or where it came to be known in several ways: they do not mix."""
        return self._merged(lambda one: one.energy) if len(self.methods) == 1 else None

    @property
    def duration(self) -> HistogramValue | None:
        return self._merged(lambda one: one.duration)

    def _merged(self, told: Callable[[Usage], HistogramValue | None]) -> HistogramValue | None:
        return merged([value for one in self.usages if (value := told(one)) is not None])

    @property
    def requests(self) -> int:
        return sum(sum(one.requests.values()) for one in self.usages)

    @property
    def input_tokens(self) -> int:
        return tokens(self.usages, "input")

    @property
    def output_tokens(self) -> int:
        return tokens(self.usages, "output")

    @property
    def joules(self) -> float | None:
        return None if self.energy is None else self.energy.sum

    @property
    def joules_per_request(self) -> float | None:
        return None if self.energy is None else self.energy.sum / sum(self.energy.counts)

    @property
    def joules_per_output_token(self) -> float | None:
        energy = self.energy
        if energy is None or not covers(self.usages, sum(energy.counts)):
            return None
        return _over(energy.sum, self.output_tokens)

    @property
    def devices(self) -> list[DeviceBook]:
        serving = {(one.place, name) for one in self.usages for name in one.devices}
        return [book for book in self.account.books if (book.place, book.device.name) in serving]


# --- differences -----------------------------------------------------------------------------------------------------


def _difference(name: str, unit: str, first: float | None, second: float | None) -> Difference:
    ratio = None if first is None or second is None else _over(second, first)
    return Difference(name, unit, first, second, ratio)


def _over(above: float, below: float) -> float | None:
    return above / below if below else None


def _whole(first: Account, second: Account) -> Iterator[Difference]:
    """What only an account as a whole has: all its devices, whoever they serve."""
    yield _difference("period", "s", first.seconds, second.seconds)
    yield _difference("metered energy", "J", _metered(first.books), _metered(second.books))
    yield _difference("mean power", "W", _power(first), _power(second))
    yield _difference("idle share of all devices", "", _idle(first.books), _idle(second.books))


def _differences(first: _Side, second: _Side) -> list[Difference]:
    told: Sequence[tuple[str, str, Callable[[_Side], float | None]]] = (
        ("requests", "", lambda side: side.requests),
        ("output tokens", "", lambda side: side.output_tokens),
        ("energy of requests", "J", lambda side: side.joules),
        ("energy per request", "J", lambda side: side.joules_per_request),
        ("energy per output token", "J", lambda side: side.joules_per_output_token),
        ("latency, median", "s", lambda side: quantile(side.duration, 0.5)),
        ("latency, 95th percentile", "s", lambda side: quantile(side.duration, 0.95)),
        ("idle share of its devices", "", lambda side: _idle(side.devices)),
    )
    return [_difference(name, unit, of(first), of(second)) for name, unit, of in told]


def _metered(books: Sequence[DeviceBook]) -> float | None:
    return math.fsum(book.metered_joules for book in books) if books else None


def _power(account: Account) -> float | None:
    metered = _metered(account.books)
    return _over(metered, account.seconds) if metered is not None else None


def _idle(books: Sequence[DeviceBook]) -> float | None:
    metered = _metered(books)
    return _over(math.fsum(book.booked.get("idle", 0.0) for book in books), metered) if metered else None


# --- cautions --------------------------------------------------------------------------------------------------------


def _cautions(sides: tuple[_Side, _Side], by_model: Mapping[str, tuple[_Side, _Side]]) -> Iterator[str]:
    first, second = sides
    if methods(first.account) != methods(second.account):
        yield f"Energy came to be known in different ways: first {_listed(first)}, then {_listed(second)}."
    for which, side in zip(("first", "second"), sides, strict=True):
        yield from _alone(which, side)
    for which, (here, there) in {"first": sides, "second": sides[::-1]}.items():
        only = sorted({one.model for one in here.usages} - {one.model for one in there.usages})
        if only:
            yield f"Only the {which} served {', '.join(only)}: overall figures are of different models."
    yield from _mix("Overall", first, second)
    for model, pair in by_model.items() if len(by_model) > 1 else ():
        yield from _mix(model, *pair)


def _alone(which: str, side: _Side) -> Iterator[str]:
    if side.account.seconds < SHORT_SECONDS:
        yield f"The {which} is short ({side.account.seconds:.0f} s): what is unsettled at its ends weighs much."
    if side.requests < FEW_REQUESTS:
        yield f"The {which} has few requests ({side.requests}): chance weighs much."
    if len(side.methods) > 1:
        yield f"In the {which}, energy came to be known in several ways, which are not added up: see the models."


def _mix(what: str, first: _Side, second: _Side) -> Iterator[str]:
    """Whether both served requests of one kind, and about as many."""
    for name, one, other in (
        ("prompt tokens", first.input_tokens, second.input_tokens),
        ("output tokens", first.output_tokens, second.output_tokens),
    ):
        here, there = _over(one, first.requests), _over(other, second.requests)
        if here and there and _apart(here, there) > FAR_APART:
            yield f"{what}: requests have {here:.0f} {name} on average in the first and {there:.0f} in the second."
    here, there = _over(first.requests, first.account.seconds), _over(second.requests, second.account.seconds)
    if here and there and _apart(here, there) > OTHER_LOAD:
        yield (
            f"{what}: {here:.3g} requests a second in the first and {there:.3g} in the second: "
            "energy per token depends on how many run at once."
        )


def _apart(one: float, other: float) -> float:
    return max(one / other, other / one)


def _listed(side: _Side) -> str:
    return " and ".join(methods(side.account)) or "not at all"
