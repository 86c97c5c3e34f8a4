"""How far an estimate may be off: a half-width in ln(energy / estimate) that nine of ten true values stay within.

Theory of operation. A calibration holds how far its proxies were off when they predicted requests at the place where it
was made, by concurrency (exporter/proxy/calibrator.py). That is nearly all that is needed, but for three things that no
residual can tell. The figures for these are MODELLED: they come from simulated servers, where every request's true
energy is known (`python -m tests.bench.coverage --rules`), and every calibration gets them alike.

Alone. Residuals against the meter are the whole truth: root mean square times 1.645, as if normal. (It need not be: the
same factor holds nine tenths of a Laplace distribution, and somewhat more of most others.)

Overlapping. Residuals R are against shares, and a share has an error of its own, rho, that grows with the concurrency.
Where proxy and rule know different things, R contains both errors, and the proxy's own is sqrt(R^2 - rho^2). Where they
are the same model in two guises, as `step_model` and the rule `steps` are, or `time_share` and `time`, both may be
wrong together and R is too small: a proxy is never taken to be better than `floor`, the error against the truth that
such a pair shows in simulation. And whatever windows of metered time say it was off by on the whole, it is off by at
least that.

Outside. Where no request was seen of such a concurrency, coefficients that could not be told apart there no longer make
up for each other: as much as their standard errors say is added, and at least `slope` for each doubling. A proxy whose
coefficients may be off by more than half its prediction does not speak there at all; the next one may.

Few samples. Student's t for as many samples as the fading left, and half a unit divided by their number on top: three
requests that happened to agree prove nothing about the fourth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporter.domain.settings import PolicyName, ProxyName
from exporter.proxy.calibration import ProxyCalibration, Spread
from exporter.proxy.linear import causes
from exporter.proxy.proxies import TERMS
from exporter.proxy.proxy import Features, Floats

NORMAL = 1.6449
"""A normal distribution has nine tenths within so many standard deviations."""
_MEAN_TO_RMS = float(np.sqrt(np.pi / 2.0))


@dataclass(frozen=True, slots=True)
class Rule:
    """Errors of an attribution rule in simulation, per doubling of the concurrency.

    Attributes:
        rho: of its shares, as a standard deviation of ln(truth / share).
        floor: of the proxy that is the same model, against the truth.
    """

    rho: float
    floor: float


RULES: Mapping[PolicyName, Rule] = {
    "steps": Rule(rho=0.022, floor=0.0175),
    "time": Rule(rho=0.07, floor=0.07),
    "tokens": Rule(rho=0.07, floor=0.07),
}
_SLOPES: Mapping[ProxyName, float] = {"step_model": 0.03, "time_share": 0.08}
"""What is added outside for each doubling; a proxy that knows nothing of company may be off by a factor of two."""
_FACTOR_OF_TWO = float(np.log(2.0))
_BLIND = 0.5
"""A prediction that its coefficients' errors make this uncertain, outside, is a guess."""

_ALONE = 1.01
_SOLID = 5.0
"""Samples below which a spread is only used where there is no better one."""
_DOUBT = 0.5
_UNKNOWN = float(np.log(10.0))


def half_width(name: ProxyName, proxy: ProxyCalibration, policy: PolicyName, seen: Features) -> Floats:
    """The half-width for each row, of shape (rows,); infinite where this proxy can only guess."""
    concurrency = seen.concurrency
    shared = _shared(name, proxy, RULES[policy], seen)
    metered = _of(proxy.alone)
    if metered is None or (metered.effective < _SOLID and proxy.shared):
        return shared
    return np.where(concurrency < _ALONE, NORMAL * cautious(metered), shared)


def cautious(spread: Spread) -> float:
    """A spread's size as a standard deviation, the larger the fewer samples it comes from."""
    return spread.size * _student(spread.effective) / NORMAL + _DOUBT / max(spread.effective, 1.0) / NORMAL


def _shared(name: ProxyName, proxy: ProxyCalibration, rule: Rule, seen: Features) -> Floats:
    doublings = np.log2(seen.concurrency)
    known = _solid(proxy.shared)
    if not known and not proxy.alone:
        return np.full(len(seen), _UNKNOWN)
    inside, outside = _nearest(known, doublings)
    alone = _of(proxy.alone)
    metered = alone.size if alone is not None else 0.0
    floor = np.hypot(metered, rule.floor * doublings)
    said = np.array([cautious(one) for one in known] or [cautious(alone) if alone is not None else 0.0])[inside]
    rho = rule.rho * (doublings if known else 0.0)
    own = np.maximum(np.maximum(floor, _window_error(proxy)), np.sqrt(np.maximum(said**2 - rho**2, 0.0)))
    return NORMAL * np.hypot(own, _outside(name, proxy, seen, outside))


def _window_error(proxy: ProxyCalibration) -> float:
    """As a standard deviation, were it normal."""
    scores = proxy.grounds["window"].scores if "window" in proxy.grounds else {}
    return min(_MEAN_TO_RMS * scores.get("mape", 0.0), _UNKNOWN)


def _outside(name: ProxyName, proxy: ProxyCalibration, seen: Features, doublings: Floats) -> Floats:
    """What is added where no such concurrency was seen: `doublings` away from what was, 0 inside."""
    doubt = _coefficient_doubt(name, proxy, seen)
    added = np.maximum(_SLOPES.get(name, _FACTOR_OF_TWO) * doublings, np.minimum(doubt, _FACTOR_OF_TWO * doublings))
    return np.where(doublings > 0.0, np.where(doubt > _BLIND, np.inf, added), 0.0)


def _coefficient_doubt(name: ProxyName, proxy: ProxyCalibration, seen: Features) -> Floats:
    """How far the coefficients' standard errors let a prediction be off, relative to it."""
    terms = TERMS[name]
    amounts = causes(terms, seen)
    learned = [proxy.coefficients[term.name] for term in terms]
    joules = (amounts * [one.value for one in learned]).sum(axis=1)
    errors = np.array([min(one.error, 1e100) for one in learned])
    with np.errstate(divide="ignore", invalid="ignore"):
        doubt: Floats = np.sqrt(((amounts * errors) ** 2).sum(axis=1)) / joules
    return np.nan_to_num(doubt, nan=0.0, posinf=1e100)


def _solid(spreads: Sequence[Spread]) -> Sequence[Spread]:
    """Those that come from enough samples, or all of them where none does."""
    return [one for one in spreads if one.effective >= _SOLID] or spreads


def _nearest(spreads: Sequence[Spread], doublings: Floats) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Floats]:
    """For each row the spread to use, and how many doublings it lies outside of it."""
    lower = np.array([np.log2(one.concurrency) for one in spreads] or [0.0])
    width = 1.0 if spreads else 0.0
    distance = np.maximum(lower[:, None] - doublings, doublings - lower[:, None] - width)
    nearest = distance.argmin(axis=0)
    return nearest, np.maximum(distance[nearest, np.arange(len(doublings))], 0.0)


def _of(spreads: Sequence[Spread]) -> Spread | None:
    """The spread of the lowest concurrency: requests that ran alone are in no other."""
    return spreads[0] if spreads else None


def _student(samples: float) -> float:
    """Student's t beyond which lies a tenth, for a new value (Abramowitz and Stegun 26.7.5)."""
    freedom = max(samples, 1.0)
    z = NORMAL
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    value = z + first / freedom + second / freedom**2 + third / freedom**3
    return float(value * np.sqrt(1.0 + 1.0 / freedom))
