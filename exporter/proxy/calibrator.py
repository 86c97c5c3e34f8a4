"""What is kept of one model on one server so that a calibration can be made at any time: how far its proxies are off.

Theory of operation. How wide an estimate's interval must be is told by how far predictions were off that were made
before the energy was known. They are off by factors rather than by joules, so errors are kept as ln(energy /
prediction), and since a crowd is harder to predict than a request alone, apart by concurrency: 1 to 2, 2 to 4, and so
on. Of each only moments are kept. Old ones fade, because they are the errors of coefficients that are no more.

Requests that ran alone are held against the meter. Those that overlapped can only be held against the share that the
attribution rule gave them; the two are never mixed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from exporter.domain.readings import Method
from exporter.domain.settings import PolicyName, ProxyName
from exporter.domain.snapshot import ProxyView
from exporter.proxy.calibration import (
    Calibration,
    GroundScores,
    Key,
    Machine,
    ProxyCalibration,
    Spread,
)
from exporter.proxy.proxy import Coefficient, Features, Floats

LEVELS = 9
"""Of concurrency: 1 to 2, 2 to 4, ..., 256 and more."""
MEMORY_SAMPLES = 1000.0
ALONE = 1.01
"""Who was with fewer others than this ran alone: if it is not metered, its share tells nothing of overlapping ones."""
_NINE_TENTHS = 1.645
"""Standard deviations, were it normal."""
_LARGEST = float(np.log(10.0))
"""Farther off than tenfold is counted as tenfold: one absurd prediction must not decide for a thousand."""
_DIGITS = 8

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
    """Bounded statistics of how far each proxy was off."""

    def __init__(self) -> None:
        self._errors: dict[tuple[ProxyName, Company], list[_Errors]] = {}

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
        for proxy, joules in predicted.items():
            self._of(proxy, "alone", doublings[alone], _log_ratio(metered, joules)[alone])
            self._of(proxy, "shared", doublings[shared], _log_ratio(attributed, joules)[shared])

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
            f"{proxy} {company}": {str(index): one.snapshot() for index, one in enumerate(levels) if one.samples}
            for (proxy, company), levels in self._errors.items()
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._errors = {}
        for words, levels in snapshot.items():
            proxy, company = words.split(" ")
            held = self._errors.setdefault((proxy, company), _nothing())  # type: ignore[arg-type] # as written above
            for index, numbers in levels.items():
                held[int(index)] = _Errors(*numbers)

    def _of(self, proxy: ProxyName, company: Company, doublings: Floats, errors: Floats) -> None:
        known = np.isfinite(errors)
        levels = np.clip(np.floor(doublings), 0, LEVELS - 1)
        for level in np.unique(levels[known]).astype(int).tolist():
            held = self._errors.setdefault((proxy, company), _nothing())
            here = known & (levels == level)
            held[level].add(doublings[here], errors[here])

    def _calibrated(self, view: ProxyView) -> ProxyCalibration:
        return ProxyCalibration(
            coefficients={term: Coefficient(one.value, one.error) for term, one in view.coefficients.items()},
            grounds={
                ground: GroundScores(score.samples, dict(score.recent or score.lifetime))
                for ground, score in view.scores.items()
            },
            alone=_spreads(self._errors.get((view.proxy, "alone"), ())),
            shared=_spreads(self._errors.get((view.proxy, "shared"), ())),
        )


def _log_ratio(actual: Floats, said: Floats) -> Floats:
    """ln(actual / said), at most tenfold to either side; NaN where one of them is not known or nothing was used."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(actual / said)
    limited: Floats = np.clip(np.where(actual > 0.0, ratio, np.nan), -_LARGEST, _LARGEST)
    return limited


@dataclass(slots=True)
class _Errors:
    """Moments of the errors at one level, and of its doublings of concurrency; newer ones make older weigh less."""

    samples: int = 0
    weight: float = 0.0
    weight_squared: float = 0.0
    error: float = 0.0
    error_squared: float = 0.0
    doubling: float = 0.0
    doubling_squared: float = 0.0

    def add(self, doublings: Floats, errors: Floats) -> None:
        keep = 1.0 - 1.0 / MEMORY_SAMPLES
        weights = keep ** np.arange(len(errors) - 1, -1, -1, dtype=np.float64)
        old = keep ** len(errors)
        self.samples += len(errors)
        self.weight = old * self.weight + float(weights.sum())
        self.weight_squared = old**2 * self.weight_squared + float((weights**2).sum())
        self.error = old * self.error + float(weights @ errors)
        self.error_squared = old * self.error_squared + float(weights @ errors**2)
        self.doubling = old * self.doubling + float(weights @ doublings)
        self.doubling_squared = old * self.doubling_squared + float(weights @ doublings**2)

    def spread(self, level: int) -> Spread:
        """As a calibration holds it."""
        middle = self.doubling / self.weight
        width = _NINE_TENTHS * float(np.sqrt(max(self.doubling_squared / self.weight - middle**2, 0.0)))
        return Spread(
            concurrency=2**level,
            least=float(2.0 ** max(middle - width, 0.0)),
            most=float(2.0 ** max(middle + width, 0.0)),
            samples=self.samples,
            effective=self.weight**2 / self.weight_squared,
            bias=self.error / self.weight,
            size=float(np.sqrt(self.error_squared / self.weight)),
        )

    def snapshot(self) -> list[float]:
        moments = (self.error, self.error_squared, self.doubling, self.doubling_squared)
        return [
            self.samples,
            *(float(f"{value:.{_DIGITS}g}") for value in (self.weight, self.weight_squared, *moments)),
        ]


def _nothing() -> list[_Errors]:
    return [_Errors() for _ in range(LEVELS)]


def _spreads(levels: Iterable[_Errors]) -> tuple[Spread, ...]:
    return tuple(one.spread(level) for level, one in enumerate(levels) if one.samples)
