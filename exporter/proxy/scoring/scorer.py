"""The scorer: it alone decides that a proxy predicts, then is scored, and only then learns.

Everything a proxy ever learns goes through here, and so does everything it predicts. Settling requests never teaches;
closing a window scores the predictions that were booked into it and then teaches, in one call; so no prediction that is
scored was made by a proxy that had seen the energy it is scored against.

On two grounds that energy is metered: requests that ran alone, and windows of time. The third holds predictions
against attributed shares: a proxy that predicts like the rule which made them looks perfect there, whatever it is
worth.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

import numpy as np

from exporter.domain.settings import ProxyName
from exporter.domain.snapshot import CoefficientView, Ground, ProxyView, ScoreView
from exporter.domain.units import Joules
from exporter.proxy.proxy import Features, Floats, Proxy
from exporter.proxy.scoring.drift import Drift
from exporter.proxy.scoring.packed import BEYOND, counts, numbers, realigned
from exporter.proxy.scoring.scores import Scores

_LEAST_SAMPLES = 3
"""A proxy is called the best once it has been held against so many windows, or requests that ran alone."""
_LEAST_JOULES = 1e-6
"""A request or window of less is rounding: nothing is held against it."""
_GARBLED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comes of reading a snapshot that we did not write."""


class Scorer:
    """All proxies of one model on one server: what they predict, how good it was, and what they may learn."""

    def __init__(self, proxies: Mapping[ProxyName, Proxy]) -> None:
        self._proxies = dict(proxies)
        self._grounds: dict[Ground, _Standing] = {ground: _Standing(len(proxies)) for ground in get_args(Ground)}
        self._joules: Floats = np.zeros(len(proxies))
        self._unpredicted = np.zeros(len(proxies), dtype=np.int64)
        self._coefficients: dict[ProxyName, Mapping[str, CoefficientView]] | None = None

    def settle(self, seen: Features, attributed: Floats, metered: Floats) -> Mapping[ProxyName, Floats]:
        """Predict requests and hold that against their energy. Teaches nothing.

        To be called before anything that was metered during their lives is learned.

        Args:
            seen: of requests that settle now, a row each.
            attributed: their joules as the rule shares them, of shape (requests,); NaN where there are none.
            metered: their joules as metered, of shape (requests,); NaN where they did not run alone.

        Returns:
            Joules of each request by proxy, NaN where it could not say, or what it said is no energy.
        """
        predicted = np.empty((len(self._proxies), len(seen)))
        for row, proxy in zip(predicted, self._proxies.values(), strict=True):
            row[:] = proxy.predict(seen)
        predicted[~((predicted >= 0.0) & (predicted < BEYOND))] = np.nan
        self._joules += np.nansum(predicted, axis=1)
        self._unpredicted += np.isnan(predicted).sum(axis=1)
        self._grounds["request"].add(attributed, predicted)
        self._grounds["isolated"].add(metered, predicted)
        return dict(zip(self._proxies, predicted, strict=True))

    def close_window(
        self, predicted: Mapping[ProxyName, float], rows: Features, joules: Floats, row_seconds: float
    ) -> None:
        """Hold what was predicted for a window against what was metered in it, and then learn from it.

        To be called once for each window, after everything that ran in it has settled.

        Args:
            predicted: sum of the predictions booked into it; NaN where a request in it could not be predicted.
            rows: the stretches of time that make up the window.
            joules: busy energy metered in each, of shape (rows,).
            row_seconds: how long each is.
        """
        sums = np.array([predicted.get(name, np.nan) for name in self._proxies], dtype=np.float64)
        self._grounds["window"].add(np.array([joules.sum()]), sums[:, None])
        self.learn(rows, joules, row_seconds)

    def learn(self, rows: Features, joules: Floats, row_seconds: float) -> None:
        """Learn from time that belongs to no window that could be scored. Rows of unknown energy are left out."""
        known = np.isfinite(joules)
        if not known.any():
            return
        if not known.all():
            rows, joules = rows.rows(known), joules[known]
        for proxy in self._proxies.values():
            proxy.learn(rows, joules, row_seconds)
        self._coefficients = None

    def best(self) -> ProxyName | None:
        """The proxy that has been off the least lately by metered energy; None while too little has been scored.

        Windows are asked before requests that ran alone, because they are of the load that there is.
        """
        for ground in ("window", "isolated"):
            views = dict(zip(self._proxies, self._grounds[ground].views(), strict=True))
            errors = {
                name: view.recent["mape"]
                for name, view in views.items()
                if name != "peak" and view.samples >= _LEAST_SAMPLES and "mape" in view.recent
            }
            if errors:
                return min(errors, key=lambda name: errors[name])
        return None

    def predict(self, proxy: ProxyName, seen: Features) -> Floats:
        """What this proxy says of each row, of shape (rows,). Nothing is counted, scored or learned by it."""
        return self._proxies[proxy].predict(seen)

    def views(self, server: str, model: str) -> tuple[ProxyView, ...]:
        """Every proxy as it stands, on every ground."""
        if self._coefficients is None:
            self._coefficients = {name: _coefficients(proxy) for name, proxy in self._proxies.items()}
        return tuple(
            ProxyView(
                server=server,
                model=model,
                proxy=name,
                predicted_joules=Joules(float(self._joules[index])),
                unpredicted=int(self._unpredicted[index]),
                coefficients=self._coefficients[name],
                scores={ground: standing.views()[index] for ground, standing in self._grounds.items()},
            )
            for index, name in enumerate(self._proxies)
        )

    def books(self) -> dict[str, Any]:
        """Counters, all-time sums, what the proxies learned and what drift is judged by, as JSON values."""
        return {
            "proxies": list(self._proxies),
            "joules": self._joules.tolist(),
            "unpredicted": self._unpredicted.tolist(),
            "learned": {name: _snapshot(proxy) for name, proxy in self._proxies.items()},
            "scores": {ground: standing.scores.books() for ground, standing in self._grounds.items()},
            "drift": {ground: standing.drift.snapshot() for ground, standing in self._grounds.items()},
        }

    def samples(self) -> dict[str, Any]:
        """The samples that recent scores and rank correlations come from, as JSON values."""
        kept = {ground: standing.scores.kept() for ground, standing in self._grounds.items()}
        return {"proxies": list(self._proxies), "kept": kept}

    def restore(self, books: Mapping[str, Any], samples: Mapping[str, Any] | None) -> None:
        """Go on where another scorer was, on a new one; its proxies need not have been the same.

        What is garbled, or was written by a version that wrote otherwise, is as good as none: that part begins anew.
        """
        for name, proxy in self._proxies.items():
            _restore_proxy(proxy, _part(books, "learned", name))
        rows, saved = self._rows(books)
        _attempt(self._restore_counters, books, rows, saved)
        for ground, standing in self._grounds.items():
            _attempt(standing.scores.restore, _part(books, "scores", ground), rows, saved)
            _attempt(standing.drift.restore, _part(books, "drift", ground), rows, saved)
            _attempt(standing.scores.restore_kept, _part(samples, "kept", ground), *self._rows(samples))
            standing.forget_views()
        self._coefficients = None

    def _rows(self, saved: Any) -> tuple[list[int], int]:
        """Which row was whose when this was saved, and how many there were."""
        names = _part(saved, "proxies")
        if not isinstance(names, list):
            return [-1] * len(self._proxies), 0
        return [names.index(name) if name in names else -1 for name in self._proxies], len(names)

    def _restore_counters(self, books: Mapping[str, Any], rows: Sequence[int], saved: int) -> None:
        joules, unpredicted = numbers(books["joules"], saved), counts(books["unpredicted"], saved)
        if (joules < 0.0).any():
            raise ValueError("a counter below zero")
        self._joules, self._unpredicted = realigned(joules, rows, 0.0), realigned(unpredicted, rows, 0)


class _Standing:
    """All proxies on one ground."""

    def __init__(self, proxies: int) -> None:
        self.scores = Scores(proxies)
        self.drift = Drift(proxies)
        self._views: list[ScoreView] | None = None

    def add(self, actual: Floats, predicted: Floats) -> None:
        """Hold predictions (proxies, samples) against energy (samples,), where both are known."""
        with np.errstate(invalid="ignore"):
            both = np.isfinite(actual) & (actual >= _LEAST_JOULES) & ~np.isnan(predicted).all(axis=0)
        if both.any():
            actual, predicted = actual[both], predicted[:, both]
            self.scores.add(actual, predicted)
            self.drift.add(predicted / actual)
            self._views = None

    def views(self) -> list[ScoreView]:
        """How each proxy did; worked out once until something is added."""
        if self._views is None:
            columns = (
                self.scores.samples,
                self.scores.recent(),
                self.scores.lifetime(),
                self.scores.error_ratios(),
                self.drift.deviations(),
                self.drift.drifting(),
            )
            self._views = [ScoreView(*row) for row in zip(*columns, strict=True)]
        return self._views

    def forget_views(self) -> None:
        """Something else than `add` has changed what they show."""
        self._views = None


def _coefficients(proxy: Proxy) -> Mapping[str, CoefficientView]:
    return {term: CoefficientView(one.value, one.error) for term, one in proxy.coefficients.items()}


def _snapshot(proxy: Proxy) -> Any:
    """What a proxy needs after a restart; None for one that learns nothing."""
    snapshot = getattr(proxy, "snapshot", None)
    return snapshot() if snapshot is not None else None


def _restore_proxy(proxy: Any, saved: Any) -> None:
    """Let a proxy go on; one that stumbles over what was saved goes back to where it began."""
    if saved is None or not hasattr(proxy, "restore"):
        return
    begun = proxy.snapshot()
    try:
        proxy.restore(saved)
    except _GARBLED:
        proxy.restore(begun)


def _attempt(restore: Callable[..., None], *saved: Any) -> None:
    with suppress(*_GARBLED):
        restore(*saved)


def _part(saved: Any, *keys: str) -> Any:
    """A part of something saved; None where there is no such part."""
    for key in keys:
        saved = saved.get(key) if isinstance(saved, Mapping) else None
    return saved
