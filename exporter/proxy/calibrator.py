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
from numpy.typing import NDArray

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
_LARGEST = float(np.log(10.0))
"""Farther off than tenfold is counted as tenfold: one absurd prediction must not decide for a thousand."""
_DIGITS = 6

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
        levels = level_of(seen.concurrency)
        alone = np.isfinite(metered)
        for proxy, joules in predicted.items():
            self._of(proxy, "alone", levels[alone], metered[alone], joules[alone])
            self._of(proxy, "shared", levels[~alone], attributed[~alone], joules[~alone])

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

    def _of(self, proxy: ProxyName, company: Company, levels: NDArray[np.intp], actual: Floats, said: Floats) -> None:
        errors = _log_ratio(actual, said)
        known = np.isfinite(errors)
        for level in np.unique(levels[known]).tolist():
            held = self._errors.setdefault((proxy, company), _nothing())
            held[level].add(errors[known & (levels == level)])

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


def level_of(concurrency: Floats) -> NDArray[np.intp]:
    """The level of each concurrency: 0 for 1 to 2, 1 for 2 to 4, ..."""
    return np.clip(np.floor(np.log2(np.maximum(concurrency, 1.0))), 0, LEVELS - 1).astype(np.intp)


def _log_ratio(actual: Floats, said: Floats) -> Floats:
    """ln(actual / said), at most tenfold to either side; NaN where one of them is not known or nothing was used."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(actual / said)
    limited: Floats = np.clip(np.where(actual > 0.0, ratio, np.nan), -_LARGEST, _LARGEST)
    return limited


@dataclass(slots=True)
class _Errors:
    """Moments of the errors at one level; each newer one makes the older weigh a little less."""

    samples: int = 0
    weight: float = 0.0
    weight_squared: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, errors: Floats) -> None:
        keep = 1.0 - 1.0 / MEMORY_SAMPLES
        fade = keep ** np.arange(len(errors) - 1, -1, -1, dtype=np.float64)
        old = keep ** len(errors)
        self.samples += len(errors)
        self.weight = old * self.weight + float(fade.sum())
        self.weight_squared = old**2 * self.weight_squared + float((fade**2).sum())
        self.total = old * self.total + float((fade * errors).sum())
        self.squares = old * self.squares + float((fade * errors**2).sum())

    @property
    def effective(self) -> float:
        return self.weight**2 / self.weight_squared

    def snapshot(self) -> list[float]:
        sums = (self.weight, self.weight_squared, self.total, self.squares)
        return [self.samples, *(float(f"{value:.{_DIGITS}g}") for value in sums)]


def _nothing() -> list[_Errors]:
    return [_Errors() for _ in range(LEVELS)]


def _spreads(levels: Iterable[_Errors]) -> tuple[Spread, ...]:
    return tuple(
        Spread(
            concurrency=2**index,
            samples=one.samples,
            effective=one.effective,
            bias=one.total / one.weight,
            size=float(np.sqrt(one.squares / one.weight)),
        )
        for index, one in enumerate(levels)
        if one.samples
    )
