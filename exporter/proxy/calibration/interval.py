"""How far an estimate may be off: a half-width in ln(energy / estimate) that nine of ten true values stay within.

Theory of operation. A calibration holds how far its proxies were off when they predicted requests at the place where it
was made, by concurrency (calibrator.py). That is nearly all that is needed, but for three things that no
residual can tell. The figures for these are MODELLED: they come from simulated servers, where every request's true
energy is known (`python -m tests.bench.coverage --rules --seeds 8`, whose line `all` is rounded here), and every
calibration gets them alike. How often intervals hold is judged on other servers.

Alone. Residuals against the meter are nearly the whole truth: root mean square times 1.645, as if normal. (It need not
be: the same factor holds nine tenths of a Laplace distribution, and somewhat more of most others.) But a counter that
steps ten times a second and is interpolated smears a request's energy beyond its edges, so the meter itself misses
9 ms of its power, more or less by 5. What it misses on average the proxies have learned to leave out and cannot see: a
loss that goes one way, and is added as such. What it scatters by is in the residuals and not in the proxies, so it is
taken out of them again.

Overlapping. Residuals R are against shares, and a share has an error of its own, rho, that grows with the concurrency.
Where proxy and rule know different things, R contains both errors, and the proxy's own is sqrt(R^2 - rho^2). Where they
are the same model in two guises, as `step_model` and the rule `steps` are, or `time_share` and `time`, both may be
wrong together and R is too small: a proxy is never taken to be better than `floor`, the error against the truth that
such a pair shows in simulation. And whatever windows of metered time say it was off by on the whole, it is off by at
least that.

Outside. Where no request was seen of such a concurrency, errors are larger by what they grow by in simulation from the
nearest that was seen. For a proxy that knows nothing of company that is up to a factor of two each doubling; and so for
`step_model` where the load has hardly varied, because there a step's cost and a token's cost cannot be told apart.
(Their standard errors cannot be trusted to say so: regressors that are alike but for noise look told apart.)

Few samples. Student's t for as many samples as the fading left, and 1.5 divided by the square of their number on top:
three requests that happened to agree prove nothing about the fourth.

Small requests. A part of the error is the same for all and a part grows with their energy (see the calibrator), so a
small request's interval is wider relative to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporter.domain.settings import PolicyName, ProxyName
from exporter.proxy.calibration.calibration import ProxyCalibration, Spread
from exporter.proxy.calibration.calibrator import ALONE
from exporter.proxy.proxy import Features, Floats

NORMAL = 1.6449
"""A normal distribution has nine tenths within so many standard deviations."""
_ONE_SIDED = 1.2816
"""And nine tenths below so many."""
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
    "steps": Rule(rho=0.021, floor=0.012),
    "time": Rule(rho=0.065, floor=0.065),
    "tokens": Rule(rho=0.065, floor=0.065),
}


@dataclass(frozen=True, slots=True)
class _Growth:
    """How a proxy's error grows outside, in simulation, per doubling of the concurrency.

    Attributes:
        upward: in quadrature with what it was, towards more company. straight: to either side, in proportion.
    """

    upward: float
    straight: float


_FACTOR_OF_TWO = float(np.log(2.0))
_NO_IDEA = _Growth(0.0, _FACTOR_OF_TWO)
_GROWTH: Mapping[ProxyName, _Growth] = {"step_model": _Growth(0.0, 0.03), "time_share": _Growth(0.08, 0.03)}
_TOLD_APART = 1.0
"""Doublings by which the concurrency must have varied for a step's cost to be told from a token's."""

EDGE_LOSS_SECONDS, EDGE_NOISE_SECONDS = 0.009, 0.005
"""Seconds of a request's power that an interpolated counter which steps ten times a second books outside its life:
mean and standard deviation, of requests alone."""

_SOLID = 5.0
_SOLID_PART = 0.02
"""Samples, and part of all, below which a spread is only used where there is no better one."""
_DOUBT = 1.5
_UNKNOWN = float(np.log(10.0))


def half_width(name: ProxyName, proxy: ProxyCalibration, policy: PolicyName, seen: Features, joules: Floats) -> Floats:
    """The half-width for each row, of shape (rows,), given what this proxy says that they used."""
    doublings = np.log2(seen.concurrency)
    known = _solid((*proxy.alone, *proxy.shared))
    if not known:
        return np.full(len(seen), _UNKNOWN)
    own = _overlapping(proxy, RULES[policy], doublings, _own(proxy, known, RULES[policy], doublings, joules))
    off = np.hypot(own, _outside(name, known, doublings))
    if proxy.alone:
        lone = _without(np.minimum(off, cautious(proxy.alone[0], joules)), _of_life(EDGE_NOISE_SECONDS, seen))
        off = np.where(seen.concurrency < ALONE, lone, off)
    return nine_tenths(_of_life(EDGE_LOSS_SECONDS, seen), off)


def usual_error(proxy: ProxyCalibration, policy: PolicyName) -> float:
    """The proxy's own error, relative to the energy, for the requests that the calibration was made from."""
    spreads = (*proxy.alone, *proxy.shared)
    if not spreads:
        return _UNKNOWN
    middle = np.log2([(one.least * one.most) ** 0.5 for one in spreads])
    sizes = np.array([one.size for one in spreads])
    shared = np.array([one in proxy.shared for one in spreads])
    own = np.sqrt(np.maximum(sizes**2 - shared * (RULES[policy].rho * middle) ** 2, 0.0))
    weights = [one.effective for one in spreads]
    return max(float(np.sqrt(np.average(own**2, weights=weights))), _window_error(proxy))


def cautious(spread: Spread, joules: Floats) -> Floats:
    """A spread as a standard deviation for requests of so many joules, the larger the fewer samples it comes from."""
    samples = max(spread.effective, 1.0)
    return (_size(spread, joules) * _student(samples) + _DOUBT / samples**2) / NORMAL


def _size(spread: Spread, joules: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        size: Floats = np.hypot(spread.relative, spread.joules / joules)
    return np.where(size < _UNKNOWN, size, _UNKNOWN)


def _own(proxy: ProxyCalibration, known: Sequence[Spread], rule: Rule, doublings: Floats, joules: Floats) -> Floats:
    """For each row, the proxy's own error as those spreads tell it that are nearest to the row."""
    least, most = _edges(known)
    rho = rule.rho * np.where([one in proxy.alone for one in known], 0.0, (least + most) / 2.0)
    sizes = np.array([cautious(one, joules) for one in known])
    own = _without(sizes, rho[:, None])
    distance = np.maximum(least[:, None] - doublings, doublings - most[:, None])
    nearest: Floats = own[distance.argmin(axis=0), np.arange(len(doublings))]
    return nearest


def _overlapping(proxy: ProxyCalibration, rule: Rule, doublings: Floats, own: Floats) -> Floats:
    """No better than it can be known to be."""
    alone = proxy.alone[0].relative if proxy.alone else 0.0
    floor = np.hypot(alone, rule.floor * doublings)
    return np.maximum(np.maximum(floor, own), _window_error(proxy))


def _outside(name: ProxyName, known: Sequence[Spread], doublings: Floats) -> Floats:
    """What is added where no such concurrency was seen; 0 inside."""
    least, most = (float(edge) for edge in (_edges(known)[0].min(), _edges(known)[1].max()))
    growth = _GROWTH.get(name, _NO_IDEA)
    if name == "step_model" and most - least < _TOLD_APART:
        growth = _NO_IDEA
    distance = np.maximum(np.maximum(least - doublings, doublings - most), 0.0)
    upward = np.sqrt(np.maximum(doublings**2 - most**2, 0.0))
    added: Floats = np.hypot(growth.upward * upward, growth.straight * distance)
    return added


def _of_life(seconds: float, seen: Features) -> Floats:
    """So many seconds, relative to how long each row lasted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        part: Floats = np.nan_to_num(np.minimum(seconds / seen.seconds, _UNKNOWN), nan=0.0)
    return part


def _without(off: Floats, noise: Floats) -> Floats:
    """What is left of an error in quadrature."""
    left: Floats = np.sqrt(np.maximum(off**2 - noise**2, 0.0))
    return left


def nine_tenths(loss: Floats, scatter: Floats) -> Floats:
    """Within which nine tenths lie of what is off by a loss that goes one way, and scatters around it.

    Where the loss is the larger, nearly all that lies outside lies on its side. To 2 percent.
    """
    return np.where(loss > scatter, loss + _ONE_SIDED * scatter, NORMAL * np.hypot(loss, scatter))


def _edges(known: Sequence[Spread]) -> tuple[Floats, Floats]:
    """Least and most doublings of each."""
    return np.log2([one.least for one in known]), np.log2([one.most for one in known])


def _window_error(proxy: ProxyCalibration) -> float:
    """As a standard deviation, were it normal."""
    scores = proxy.grounds["window"].scores if "window" in proxy.grounds else {}
    return min(_MEAN_TO_RMS * scores.get("mape", 0.0), _UNKNOWN)


def _solid(spreads: Sequence[Spread]) -> Sequence[Spread]:
    """Those that come from enough samples, or all where none does.

    A few requests among very many others, while the load rose to its usual height, say nothing about a light load.
    """
    least = max(_SOLID, _SOLID_PART * sum(one.effective for one in spreads))
    return [one for one in spreads if one.effective >= least] or spreads


def _student(samples: float) -> float:
    """Student's t beyond which lies a tenth, for a new value (Abramowitz and Stegun 26.7.5)."""
    freedom = max(samples, 1.0)
    z = NORMAL
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    value = z + first / freedom + second / freedom**2 + third / freedom**3
    return float(value * np.sqrt(1.0 + 1.0 / freedom))
