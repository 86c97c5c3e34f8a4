"""Joules in other units: each line with its factor, and where the factor comes from.

Theory of operation. Three kinds of line stand apart. A *unit* says the same joules in another word. *Cost* and *carbon*
multiply metered energy by a price or an intensity that somebody gave, configured or chose. A *factor* is energy that no
meter here saw: the host around the accelerators, machines in reserve, the building. Factors are off unless asked for;
each is a line of its own with what it adds, one further line adds them to the metered energy, and nothing else on the
page is changed by them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.domain.errors import UsageError
from exporter.report.grid import Intensity

LineKind = Literal["unit", "cost", "carbon", "factor"]

JOULES_PER_KWH = 3.6e6
JOULES_PER_WH = 3.6e3


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a footprint.

    Attributes:
        kind: `unit`: something that people feel; `cost`, `carbon`; `factor`: energy that is not metered but added by a
            multiplier, such as the building's (PUE) or the host's.
        name: what it is: `phone charges`, `building (PUE)`.
        value: in `unit`. unit: `charges`, `EUR`, `g CO2e`, `kWh`.
        factor: how the value comes out of the joules, in words: `12 Wh each`, `381 g/kWh`, `20 % of 3 kWh`.
        source: who says so, and when.
        modelled: whether the value rests on more than the meter; so does all but plain unit conversion.
    """

    kind: LineKind
    name: str
    value: float
    unit: str
    factor: str
    source: str
    modelled: bool = True


# Units people feel


@dataclass(frozen=True, slots=True)
class _Felt:
    name: str
    unit: str
    joules: float
    factor: str
    source: str


_LED = "9 W: a common LED bulb in place of a 60 W one"
_FELT = (
    _Felt("seconds of an LED bulb", "s", 9.0, "9 J each", _LED),
    _Felt(
        "median Gemini text prompts",
        "prompts",
        0.24 * JOULES_PER_WH,
        "0.24 Wh each",
        "Google, arXiv 2508.15734 (2025): the full stack, with host, idle machines and building",
    ),
    _Felt("hours of an LED bulb", "h", 9.0 * JOULES_PER_WH, "9 Wh each", _LED),
    _Felt(
        "phone charges",
        "charges",
        12.0 * JOULES_PER_WH,
        "12 Wh each",
        "US EPA, Greenhouse Gas Equivalencies Calculator: the method of an older vintage",
    ),
    _Felt(
        "water to the boil, ideal",
        "L",
        99.0 * JOULES_PER_WH,
        "99 Wh a litre",
        "physics: 4.19 kJ/(kg K), from 15 to 100 degrees Celsius, nothing lost",
    ),
    _Felt(
        "water to the boil, in a kettle",
        "L",
        113.0 * JOULES_PER_WH,
        "113 Wh a litre",
        "the same by a kettle of 85 to 90 % efficiency: 110 to 116 Wh a litre, of which the middle",
    ),
    _Felt(
        "days of a US home",
        "days",
        29.4 * JOULES_PER_KWH,
        "29.4 kWh a day",
        "US EIA: mean residential customer of 2020",
    ),
)
_LEAST, _MOST = 0.1, 10_000.0


def units(joules: float) -> list[Line]:
    """Kilowatt-hours, and what else is of a size that says something; at least one such."""
    plain = Line("unit", "electricity", joules / JOULES_PER_KWH, "kWh", "3.6 MJ each", "definition", modelled=False)
    fit = [felt for felt in _FELT if _LEAST <= joules / felt.joules < _MOST]
    return [plain, *(_line(felt, joules) for felt in fit or _nearest(joules))]


def _nearest(joules: float) -> Sequence[_Felt]:
    """The smallest for less than it, the largest for more than that; nothing for nothing."""
    if joules <= 0.0:
        return ()
    return _FELT[:1] if joules < _FELT[0].joules else _FELT[-1:]


def _line(felt: _Felt, joules: float) -> Line:
    return Line("unit", felt.name, joules / felt.joules, felt.unit, felt.factor, felt.source)


# Cost


@dataclass(frozen=True, slots=True)
class Price:
    """Of a kilowatt-hour."""

    amount: float
    currency: str


_PRICE = re.compile(r"(?P<amount>[0-9]{1,9}(?:\.[0-9]{1,9})?) ?(?P<currency>[^\W\d_]{1,8}|[$€£¥])(?: ?/ ?kWh)?")


def price_of(text: str) -> Price:
    """`0.25 EUR`.

    Raises:
        UsageError: it is not a number and a currency.
    """
    match = _PRICE.fullmatch(text.strip())
    if not match:
        raise UsageError(f'--price {text}: should be what a kWh costs, with its currency, such as "0.25 EUR"')
    return Price(float(match["amount"]), match["currency"])


def cost(joules: float, price: Price, name: str = "electricity, as metered") -> Line:
    """What the joules cost."""
    value = price.amount * joules / JOULES_PER_KWH
    return Line("cost", name, value, price.currency, f"{price.amount:g} {price.currency}/kWh", "as given (--price)")


# Carbon


def carbon(joules: float, intensity: Intensity, name: str = "electricity, as metered") -> Line:
    """What generating the joules emitted."""
    value = intensity.grams_per_kwh * joules / JOULES_PER_KWH
    return Line("carbon", name, value, "g CO2e", f"{intensity.grams_per_kwh:g} g/kWh", intensity.source)


# Factors


_GOOGLE = "Google, arXiv 2508.15734 (2025): of the energy of serving, accelerators 58 %"
_ACCELERATORS, _HOST, _RESERVE, _OVERHEAD = 0.58, 0.25, 0.10, 0.08


@dataclass(frozen=True, slots=True)
class Pue:
    """Power usage effectiveness: energy of the building over energy of its computers. `source`: who says so."""

    value: float
    source: str = "as given (--pue)"


def factors(accelerators: float, others: float, *, pue: Pue | None, host: bool) -> list[Line]:
    """What no meter here saw, a line each, and a last one with all of it beside the metered.

    Args:
        accelerators: joules metered on accelerators.
        others: joules metered on processors and memory.
        pue: of the building, if it is to be counted; without one, `host` brings the published overhead.
        host: whether host and machines in reserve are to be counted by published shares.
    """
    added = list(_added(accelerators, others, pue, host=host))
    if not added:
        return []
    metered = (accelerators + others) / JOULES_PER_KWH
    total = metered + sum(line.value for line in added)
    how = " + ".join((f"{metered:.4g} kWh metered", *(f"{line.value:.4g}" for line in added)))
    return [*added, Line("factor", WITH_FACTORS, total, "kWh", how, "sum of the lines above")]


WITH_FACTORS = "metered, with all these factors"


def _added(accelerators: float, others: float, pue: Pue | None, *, host: bool) -> Iterator[Line]:
    computers = accelerators + others
    if host and accelerators > 0.0:
        for line in _host(accelerators, others):
            computers += line.value * JOULES_PER_KWH
            yield line
    if pue is not None and pue.value > 1.0:
        extra = computers * (pue.value - 1.0)
        how = f"{100.0 * (pue.value - 1.0):.4g} % of {computers / JOULES_PER_KWH:.4g} kWh (PUE {pue.value:g})"
        yield Line("factor", "building (PUE)", extra / JOULES_PER_KWH, "kWh", how, pue.source)
    elif pue is None and host and accelerators > 0.0:
        yield _share("building and overhead", accelerators, _OVERHEAD)


def _host(accelerators: float, others: float) -> Iterator[Line]:
    """A host that is metered is not added once more."""
    if others <= 0.0:
        yield _share("host (processors, memory)", accelerators, _HOST)
    yield _share("machines kept in reserve", accelerators, _RESERVE)


def _share(name: str, accelerators: float, share: float) -> Line:
    extra = accelerators * share / _ACCELERATORS
    how = f"{_percent(share)} for every {_percent(_ACCELERATORS)} of accelerators"
    return Line("factor", name, extra / JOULES_PER_KWH, "kWh", how, f"{_GOOGLE}, this {_percent(share)}")


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %"


def host_multiplier(accelerators: float, others: float) -> float:
    """By what metered energy is multiplied for its host, by published shares; 1 where the host is metered."""
    return 1.0 + _HOST / _ACCELERATORS if accelerators > 0.0 and others <= 0.0 else 1.0


def overhead_multiplier(*, host: bool) -> float:
    """By what the energy of computers is multiplied for their building, by published shares, if these are asked for."""
    return 1.0 + _OVERHEAD / (_ACCELERATORS + _HOST + _RESERVE) if host else 1.0
