"""An account and what was asked for, made into a report. Pure: values in, values out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.domain.errors import UsageError
from exporter.report.account import Account
from exporter.report.comparison import compare
from exporter.report.footprint import (
    JOULES_PER_KWH,
    WITH_FACTORS,
    Line,
    Price,
    Pue,
    carbon,
    cost,
    factors,
    host_multiplier,
    overhead_multiplier,
    units,
)
from exporter.report.grid import Country, Intensity
from exporter.report.leaderboard import standings
from exporter.report.references import ecologits, measured
from exporter.report.sci import Boundary, sci
from exporter.report.summary import Reference, Report, Sci
from exporter.report.totals import totals

_ACCELERATOR = "gpu"


@dataclass(frozen=True, slots=True)
class Embodied:
    """What making the hardware emitted. `lifetime_seconds`: spread over so long; None: `grams` are the period's."""

    grams: float
    lifetime_seconds: float | None = None

    def of(self, seconds: float) -> float:
        """The share of so long a period, in grams."""
        return self.grams if self.lifetime_seconds is None else self.grams * seconds / self.lifetime_seconds


_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_EMBODIED = re.compile(rf"(?P<amount>{_NUMBER}) ?(?P<mass>g|kg|t)(?: ?/ ?(?P<life>{_NUMBER}) ?(?P<span>d|y))?")
_GRAMS = {"g": 1.0, "kg": 1e3, "t": 1e6}
_SECONDS = {"d": 86_400.0, "y": 365.25 * 86_400.0}


def embodied_of(text: str) -> Embodied:
    """`12 kg` for the period; `1500 kg/4y`: of the hardware, spread over its life.

    Raises:
        UsageError: it is neither.
    """
    match = _EMBODIED.fullmatch(text.strip())
    if not match or (match["life"] and not float(match["life"])):
        raise UsageError(
            f'--embodied {text}: should be a mass, such as "12 kg", or one over a life, such as "1500 kg/4y"'
        )
    life = None if match["life"] is None else float(match["life"]) * _SECONDS[match["span"]]
    return Embodied(float(match["amount"]) * _GRAMS[match["mass"]], life)


@dataclass(frozen=True, slots=True)
class Choices:
    """What was asked for; by default nothing but what was metered.

    Attributes:
        country, grams_per_kwh: where the electricity comes from, or what it emits.
        price: of a kWh. pue: of the building. host: count host and machines in reserve by published shares.
        embodied: of the hardware. active_parameters, parameters: of a model, for a published formula.
    """

    country: Country | None = None
    grams_per_kwh: float | None = None
    price: Price | None = None
    pue: float | None = None
    host: bool = False
    embodied: Embodied | None = None
    active_parameters: float | None = None
    parameters: float | None = None


def compose(
    account: Account, choices: Choices, *, beside: Account | None = None, made: float = 0.0, version: str = ""
) -> Report:
    """The report.

    Args:
        account: what it is about.
        choices: what was asked for.
        beside: what it is compared with; None: nothing.
        made: when, in Unix seconds.
        version: of the exporter that makes it.
    """
    intensity = _intensity(account, choices)
    return Report(
        account=account,
        totals=totals(account),
        standings=standings(account),
        footprint=tuple(_footprint(account, choices, intensity)),
        sci=_sci(account, choices, intensity),
        comparison=None if beside is None else compare(account, beside),
        references=tuple(_references(choices)),
        made=made,
        version=version,
        notices=tuple(_notices(account, choices, intensity)),
    )


def _notices(account: Account, choices: Choices, intensity: Intensity | None) -> Iterator[str]:
    accelerators, others = _metered(account)
    if choices.host and accelerators <= 0.0:
        yield "Published shares say nothing of a host without accelerators: --host-factor adds nothing."
    elif choices.host and others > 0.0:
        yield "The host is metered here: --host-factor does not add its published share once more."
    if choices.embodied is not None and intensity is None:
        yield "--embodied is a part of the SCI score, which needs an intensity: --country or --intensity."
    if intensity is not None and intensity.licence:
        yield intensity.licence


def _intensity(account: Account, choices: Choices) -> Intensity | None:
    """A given one before a configured one before the table's."""
    if choices.grams_per_kwh is not None:
        return Intensity(choices.grams_per_kwh, "as given (--intensity)")
    if account.intensity_grams_per_kwh is not None:
        instead = f"; --country {choices.country.code} was not used" if choices.country is not None else ""
        return Intensity(account.intensity_grams_per_kwh, f"as configured in the exporter{instead}")
    return None if choices.country is None else choices.country.intensity


def _pue(account: Account, choices: Choices) -> Pue | None:
    if choices.pue is not None:
        return Pue(choices.pue)
    return Pue(account.pue, "as configured in the exporter") if account.pue is not None and account.pue > 1.0 else None


def _footprint(account: Account, choices: Choices, intensity: Intensity | None) -> Iterator[Line]:
    """What rests on the meter first; what factors add to it beside it, never in it."""
    accelerators, others = _metered(account)
    metered = accelerators + others
    added = factors(accelerators, others, pue=_pue(account, choices), host=choices.host)
    with_factors = [line.value * JOULES_PER_KWH for line in added if line.name == WITH_FACTORS]
    yield from units(metered)
    if choices.price is not None:
        yield cost(metered, choices.price)
        yield from (cost(joules, choices.price, _ALL) for joules in with_factors)
    if intensity is not None:
        yield carbon(metered, intensity)
        yield from (carbon(joules, intensity, _ALL) for joules in with_factors)
    yield from added


_ALL = "electricity, with the factors below"


def _metered(account: Account) -> tuple[float, float]:
    """On accelerators, and on the rest."""
    by_kind = [(book.device.kind == _ACCELERATOR, book.metered_joules) for book in account.books]
    accelerators = sum(joules for accelerates, joules in by_kind if accelerates)
    return accelerators, totals(account).metered_joules - accelerators


def _sci(account: Account, choices: Choices, intensity: Intensity | None) -> Sci | None:
    if intensity is None:
        return None
    boundary = Boundary(
        intensity.grams_per_kwh,
        *_multipliers(account, choices),
        embodied_grams=0.0 if choices.embodied is None else choices.embodied.of(account.seconds),
    )
    return sci(account, boundary)


def _multipliers(account: Account, choices: Choices) -> tuple[float, float]:
    """Of the building and of the host."""
    accelerators, others = _metered(account)
    host = choices.host and accelerators > 0.0
    pue = _pue(account, choices)
    building = overhead_multiplier(host=host) if pue is None else pue.value
    return building, host_multiplier(accelerators, others) if host else 1.0


def _references(choices: Choices) -> Sequence[Reference]:
    formula = () if choices.active_parameters is None else (ecologits(choices.active_parameters, choices.parameters),)
    return (*measured(), *formula)
