"""What is kept of one model on one server so that a calibration can be made at any time: how far its proxies are off.

Theory of operation. How wide an estimate's interval must be is told by how far off the proxy is for requests whose
energy is known. Coefficients change all the time, and what they were off by while they were others says little about
those that a calibration holds. All proxies are linear in their coefficients c, so a request with causes x that used E
is off by c x - E, and the mean square of that over many requests is

    c' G c - 2 c' h + m,        G = mean of x x', h = mean of E x, m = mean of E^2

so it can be had for any c, later, from moments alone. Two such mean squares are kept: of joules, and relative to E. If
an error has a part q that is the same for all and a part s that grows with E, they are q^2 + s^2 mean(E^2) and
q^2 mean(1 / E^2) + s^2, which tells the two parts apart: a short request is off by more of its energy than a long one.
(Of shares the two are not told apart: what they are off by themselves would be taken for it.)

A crowd is harder to predict than a request alone, so moments are kept apart by concurrency: 1 to 2, 2 to 4, and so on;
and older requests fade.

Requests that ran alone are held against the meter. Those that overlapped can only be held against the share that the
attribution rule gave them; the two are never mixed, nor are the shares of two rules: where another one comes into
force, what is kept of overlapping requests begins anew.

These are errors of coefficients that have seen these very requests, a few numbers against hundreds of requests. Scores
are what was predicted before; a calibration holds both.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from exporter.domain.readings import Method
from exporter.domain.settings import PolicyName, ProxyName
from exporter.domain.snapshot import ProxyView
from exporter.proxy.calibration.calibration import Calibration, GroundScores, Key, Machine, ProxyCalibration, Spread
from exporter.proxy.linear import causes
from exporter.proxy.proxies import TERMS
from exporter.proxy.proxy import Coefficient, Features, Floats

LEVELS = 8
"""Of concurrency: 1 to 2, 2 to 4, ..., 128 and more."""
MEMORY_SAMPLES = 1000.0
ALONE = 1.01
"""Who was with fewer others than this ran alone: if it is not metered, its share tells nothing of overlapping ones."""
_ABSURD = 10.0
"""What got less than a tenth of what was predicted counts as if it were that: one share must not decide for all."""
_ALIKE = 1.01
_NINE_TENTHS = 1.645
"""Standard deviations, were it normal."""

Company = Literal["alone", "shared"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a calibration says that no residual tells: see `Calibration` for each."""

    key: Key
    date: str
    machine: Machine
    method: Method
    policy: PolicyName


class Calibrator:
    """Bounded statistics of what requests were like and what they used."""

    def __init__(self) -> None:
        self._moments: dict[tuple[ProxyName, Company], dict[int, _Moments]] = {}
        self._rule: PolicyName | None = None

    def observe(
        self,
        seen: Features,
        predicted: Mapping[ProxyName, Floats],
        attributed: Floats,
        metered: Floats,
        rule: PolicyName | None = None,
    ) -> None:
        """Take in requests, a row each.

        Args:
            seen: what can be seen of them.
            predicted: joules, by proxy, as said before any of these was known; NaN where it could not say.
            attributed: joules given to them by the attribution rule.
            metered: joules of those that ran alone; NaN for all others.
            rule: the attribution rule in force, by which they were attributed; None for the one of before.
        """
        if rule not in (None, self._rule):
            self._moments = {key: held for key, held in self._moments.items() if key[1] == "alone"}
            self._rule = rule
        doublings = np.log2(seen.concurrency)
        alone = np.isfinite(metered)
        shared = ~alone & (seen.concurrency >= ALONE)
        for proxy, said in predicted.items():
            if proxy != "peak":  # which learns nothing, and is not asked where there is anything else
                amounts = causes(TERMS[proxy], seen)
                self._add(proxy, "alone", np.zeros(len(seen)), _rows(amounts, metered, said), alone)
                self._add(proxy, "shared", doublings, _rows(amounts, attributed, said), shared)

    def calibration(self, terms: Terms, views: Sequence[ProxyView], latency: Mapping[str, Any]) -> Calibration | None:
        """The calibration as it stands, or None while no proxy has learned anything.

        Args:
            terms: what it is of.
            views: the proxies of this model and server.
            latency: its latency profile; empty for none.
        """
        proxies = {view.proxy: self._calibrated(view) for view in views if view.coefficients}
        if not proxies:
            return None
        return Calibration(
            key=terms.key,
            date=terms.date,
            machine=terms.machine,
            method=terms.method,
            policy=self._rule or terms.policy,
            proxies=proxies,
            latency=dict(latency),
        )

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values; less than 10 kB for six proxies."""
        moments = {
            f"{proxy} {company}": {str(level): one.snapshot() for level, one in levels.items()}
            for (proxy, company), levels in self._moments.items()
        }
        return {"rule": self._rule, "moments": moments}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; one that does not fit is as good as none."""
        self._moments, self._rule = {}, None
        with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            moments = dict(_restored(words, levels) for words, levels in snapshot["moments"].items())
            rule: Any = None if snapshot["rule"] is None else _of(get_args(PolicyName), snapshot["rule"])
            self._moments, self._rule = moments, rule

    def _add(self, proxy: ProxyName, company: Company, doublings: Floats, rows: Floats, chosen: Any) -> None:
        known = chosen & np.isfinite(rows).all(axis=1)
        levels = np.clip(np.floor(doublings), 0, LEVELS - 1)
        for level in sorted(set(levels[known].astype(int).tolist())):
            here = known & (levels == level)
            held = self._moments.setdefault((proxy, company), {})
            held.setdefault(level, _Moments(rows.shape[1] - 1)).add(doublings[here], rows[here])

    def _calibrated(self, view: ProxyView) -> ProxyCalibration:
        learned = np.array([view.coefficients[term.name].value for term in TERMS[view.proxy]])
        return ProxyCalibration(
            coefficients={term: Coefficient(one.value, one.error) for term, one in view.coefficients.items()},
            grounds={
                ground: GroundScores(score.samples, dict(score.recent or score.lifetime))
                for ground, score in view.scores.items()
            },
            alone=_spreads(self._moments.get((view.proxy, "alone"), {}), learned),
            shared=tuple(
                replace(one, relative=one.size, joules=0.0)
                for one in _spreads(self._moments.get((view.proxy, "shared"), {}), learned)
            ),
        )


def _restored(words: str, saved: Mapping[str, str]) -> tuple[tuple[ProxyName, Company], dict[int, "_Moments"]]:
    proxy, company = words.split(" ")
    known: Any = (_of(get_args(ProxyName), proxy), _of(get_args(Company), company))
    size = len(TERMS[known[0]])
    levels = {range(LEVELS)[int(level)]: _Moments.restored(text, size) for level, text in saved.items()}
    return known, levels


def _of(known: Sequence[str], word: str) -> str:
    return known[known.index(word)]


def _spreads(levels: Mapping[int, "_Moments"], learned: Floats) -> tuple[Spread, ...]:
    return tuple(one.spread(level, learned) for level, one in sorted(levels.items()))


def _rows(amounts: Floats, joules: Floats, said: Floats) -> Floats:
    """Causes and joules, of shape (rows, terms + 1); NaN where they are not known or nothing was used."""
    used = np.where(joules > 0.0, np.fmax(joules, said / _ABSURD), np.nan)
    return np.concatenate((amounts, used[:, None]), axis=1)


class _Moments:
    """Moments of requests at one level; each newer one makes the older weigh a little less."""

    def __init__(self, terms: int) -> None:
        self.sums = np.zeros(6)  # samples, weight, squared weights, doublings of concurrency, those squared, 1 / E^2
        self.joules = np.zeros((terms + 1, terms + 1))
        self.relative = np.zeros((terms + 1, terms + 1))

    def add(self, doublings: Floats, rows: Floats) -> None:
        keep = 1.0 - 1.0 / MEMORY_SAMPLES
        weights = keep ** np.arange(len(rows) - 1, -1, -1, dtype=np.float64)
        old = keep ** len(rows)
        used = rows[:, -1]
        weighted = weights * [np.ones(len(rows)), doublings, doublings**2, used**-2.0]
        fresh = np.array([len(rows), weights.sum(), (weights**2).sum(), *weighted[1:].sum(axis=1)])
        self.sums = np.array([1.0, old, old**2, old, old, old]) * self.sums + fresh
        self.joules = old * self.joules + (rows * weights[:, None]).T @ rows
        portions = rows / used[:, None]
        self.relative = old * self.relative + (portions * weights[:, None]).T @ portions

    def spread(self, level: int, learned: Floats) -> Spread:
        """As a calibration with these coefficients holds it."""
        samples, weight, weight_squared, doubling, doubling_squared, inverse = self.sums.tolist()
        middle = doubling / weight
        width = _NINE_TENTHS * float(np.sqrt(max(doubling_squared / weight - middle**2, 0.0)))
        off = np.append(learned, -1.0)
        square = max(float(off @ self.relative @ off) / weight, 0.0)
        joules_square = max(float(off @ self.joules @ off) / weight, 0.0)
        relative, joules = _parts(square, joules_square, float(self.joules[-1, -1]) / weight, inverse / weight)
        return Spread(
            concurrency=2**level,
            least=float(2.0 ** max(middle - width, 0.0)),
            most=float(2.0 ** max(middle + width, 0.0)),
            samples=int(samples),
            effective=weight**2 / weight_squared,
            bias=float(off @ self.relative[:, -1]) / weight,
            size=float(np.sqrt(square)),
            relative=relative,
            joules=joules,
        )

    def snapshot(self) -> str:
        upper = np.triu_indices(len(self.joules))
        numbers = np.concatenate((self.sums, self.joules[upper], self.relative[upper]))
        return b64encode(numbers.astype("<f8").tobytes()).decode("ascii")

    @classmethod
    def restored(cls, text: str, terms: int) -> "_Moments":
        """From a snapshot; raises ValueError or TypeError where it is none."""
        one = cls(terms)
        upper = np.triu_indices(terms + 1)
        numbers = np.frombuffer(b64decode(text, validate=True), dtype="<f8").astype(np.float64)
        one.sums, *halves = np.split(numbers, [6, 6 + len(upper[0])])
        if not np.isfinite(numbers).all() or (one.sums[:3] < 1e-9).any():
            raise ValueError("these are no moments")
        for whole, half in zip((one.joules, one.relative), halves, strict=True):
            whole[upper] = half
            whole.T[upper] = half
        return one


def _parts(relative: float, joules: float, squares: float, inverses: float) -> tuple[float, float]:
    """The part of an error that grows with a request's energy, and the part that all requests have.

    Args:
        relative: mean square of relative errors.
        joules: mean square of errors in joules.
        squares: mean of squared energy.
        inverses: mean of the inverse of that.
    """
    product = squares * inverses  # 1 where all requests are alike: then nothing tells the parts apart
    growing = (joules * inverses - relative) / (product - 1.0) if product > _ALIKE else relative
    growing = min(max(growing, 0.0), relative)
    return float(np.sqrt(growing)), float(np.sqrt((relative - growing) / inverses))
