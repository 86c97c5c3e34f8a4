"""What is kept of one model on one server so that a calibration can be made at any time: how far its proxies are off.

Theory of operation. How wide an estimate's interval must be is told by how far off the proxy is for requests whose
energy is known. Coefficients change all the time, and what they were off by while they were others says little about
those that a calibration holds. All proxies are linear in their coefficients c, so with z the causes of a request
divided by its energy, its relative error is c z - 1, and the mean square of it over many requests

    c' G c - 2 c' m + 1,        G = mean of z z', m = mean of z

can be had for any c, later, from moments alone. A crowd is harder to predict than a request alone, so moments are kept
apart by concurrency: 1 to 2, 2 to 4, and so on; and older requests fade.

Requests that ran alone are held against the meter. Those that overlapped can only be held against the share that the
attribution rule gave them; the two are never mixed.

These are errors of coefficients that have seen these very requests, a few numbers against hundreds of requests. Scores
are what was predicted before; a calibration holds both.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from exporter.domain.readings import Method
from exporter.domain.settings import PolicyName, ProxyName
from exporter.domain.snapshot import ProxyView
from exporter.proxy.calibration import Calibration, GroundScores, Key, Machine, ProxyCalibration, Spread
from exporter.proxy.linear import causes
from exporter.proxy.proxies import TERMS
from exporter.proxy.proxy import Coefficient, Features, Floats

LEVELS = 9
"""Of concurrency: 1 to 2, 2 to 4, ..., 256 and more."""
MEMORY_SAMPLES = 1000.0
ALONE = 1.01
"""Who was with fewer others than this ran alone: if it is not metered, its share tells nothing of overlapping ones."""
_ABSURD = 10.0
"""What got less than this part of what was predicted counts as if it were that: one share must not decide for all."""
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

    def observe(
        self, seen: Features, predicted: Mapping[ProxyName, Floats], attributed: Floats, metered: Floats
    ) -> None:
        """Take in requests, a row each.

        Args:
            seen: what can be seen of them.
            predicted: joules, by proxy, as said before any of these was known; NaN where it could not say.
            attributed: joules given to them by the attribution rule.
            metered: joules of those that ran alone; NaN for all others.
        """
        doublings = np.log2(seen.concurrency)
        alone = np.isfinite(metered)
        shared = ~alone & (seen.concurrency >= ALONE)
        for proxy, said in predicted.items():
            amounts = causes(TERMS[proxy], seen)
            self._add(proxy, "alone", np.zeros(len(seen)), _relative(amounts, metered, said), alone)
            self._add(proxy, "shared", doublings, _relative(amounts, attributed, said), shared)

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
            policy=terms.policy,
            proxies=proxies,
            latency=dict(latency),
        )

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values; less than 10 kB for six proxies."""
        return {
            f"{proxy} {company}": {str(level): one.snapshot() for level, one in levels.items()}
            for (proxy, company), levels in self._moments.items()
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; one that does not fit is as good as none."""
        self._moments = {}
        with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            self._moments = dict(_restored(words, levels) for words, levels in snapshot.items())

    def _add(self, proxy: ProxyName, company: Company, doublings: Floats, rows: Floats, chosen: Any) -> None:
        known = chosen & np.isfinite(rows).all(axis=1)
        levels = np.clip(np.floor(doublings), 0, LEVELS - 1)
        for level in np.unique(levels[known]).astype(int).tolist():
            here = known & (levels == level)
            held = self._moments.setdefault((proxy, company), {})
            held.setdefault(level, _Moments(rows.shape[1])).add(doublings[here], rows[here])

    def _calibrated(self, view: ProxyView) -> ProxyCalibration:
        learned = np.array([view.coefficients[term.name].value for term in TERMS[view.proxy]])
        return ProxyCalibration(
            coefficients={term: Coefficient(one.value, one.error) for term, one in view.coefficients.items()},
            grounds={
                ground: GroundScores(score.samples, dict(score.recent or score.lifetime))
                for ground, score in view.scores.items()
            },
            alone=_spreads(self._moments.get((view.proxy, "alone"), {}), learned),
            shared=_spreads(self._moments.get((view.proxy, "shared"), {}), learned),
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


def _relative(amounts: Floats, joules: Floats, said: Floats) -> Floats:
    """Causes per joule that was used, of shape (rows, terms); NaN where that is not known or nothing was used."""
    used = np.where(joules > 0.0, np.fmax(joules, said / _ABSURD), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        rows: Floats = amounts / used[:, None]
    return rows


class _Moments:
    """Moments of requests at one level; each newer one makes the older weigh a little less."""

    def __init__(self, size: int) -> None:
        self.sums = np.zeros(5)  # samples, weight, squared weights, doublings of concurrency, those squared
        self.causes = np.zeros(size)
        self.squares = np.zeros((size, size))

    def add(self, doublings: Floats, rows: Floats) -> None:
        keep = 1.0 - 1.0 / MEMORY_SAMPLES
        weights = keep ** np.arange(len(rows) - 1, -1, -1, dtype=np.float64)
        old = keep ** len(rows)
        fresh = np.stack((np.ones(len(rows)), weights, weights**2, weights * doublings, weights * doublings**2))
        self.sums = np.array([1.0, old, old**2, old, old]) * self.sums + fresh.sum(axis=1)
        self.causes = old * self.causes + weights @ rows
        self.squares = old * self.squares + (rows * weights[:, None]).T @ rows

    def spread(self, level: int, learned: Floats) -> Spread:
        """As a calibration with these coefficients holds it."""
        samples, weight, weight_squared, doubling, doubling_squared = self.sums.tolist()
        middle = doubling / weight
        width = _NINE_TENTHS * float(np.sqrt(max(doubling_squared / weight - middle**2, 0.0)))
        said = float(learned @ self.causes) / weight
        square = float(learned @ self.squares @ learned) / weight - 2.0 * said + 1.0
        return Spread(
            concurrency=2**level,
            least=float(2.0 ** max(middle - width, 0.0)),
            most=float(2.0 ** max(middle + width, 0.0)),
            samples=int(samples),
            effective=weight**2 / weight_squared,
            bias=said - 1.0,
            size=float(np.sqrt(max(square, 0.0))),
        )

    def snapshot(self) -> str:
        upper = self.squares[np.triu_indices(len(self.causes))]
        return b64encode(np.concatenate((self.sums, self.causes, upper)).astype("<f8").tobytes()).decode("ascii")

    @classmethod
    def restored(cls, text: str, size: int) -> "_Moments":
        """From a snapshot; raises ValueError or TypeError where it is none."""
        one = cls(size)
        numbers = np.frombuffer(b64decode(text, validate=True), dtype="<f8").astype(np.float64)
        one.sums, one.causes, upper = np.split(numbers, [5, 5 + size])
        if not np.isfinite(numbers).all() or (one.sums[:3] < 1e-9).any():
            raise ValueError("these are no moments")
        one.squares[np.triu_indices(size)] = upper
        one.squares = np.triu(one.squares) + np.triu(one.squares, 1).T
        return one
