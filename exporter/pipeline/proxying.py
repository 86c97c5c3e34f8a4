"""Proxies at work on one server: they predict each request as it settles, are scored, and learn from metered time.

Theory of operation. When a request settles, every proxy of its model predicts it; the prediction is booked into the
rows of time in which it ran (pipeline/booking.py). Rows make windows. A window is complete when everybody who was in it
has settled; then its metered busy energy is held against the sum of the predictions in it, and only then do the proxies
learn its rows. So nothing that was metered during a request's life is known to the proxy that predicts it.

Windows in which the energy is not this model's alone are left out: another model or another server ran on the same
devices, somebody ran of whom nothing is known, or the readings had a hole.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np

from exporter.domain.readings import together
from exporter.domain.settings import ProxyName, Settings
from exporter.domain.snapshot import ProxyView
from exporter.ledger.claims import Floats
from exporter.ledger.ledger import Ledger
from exporter.ledger.slices import PRESENCE
from exporter.pipeline import booking
from exporter.pipeline.booking import Bookings
from exporter.pipeline.features import sharing
from exporter.pipeline.learning import others
from exporter.pipeline.observing import Observer
from exporter.pipeline.student import Settled, Student
from exporter.pipeline.waiting import Finished
from exporter.proxy.calibration.calibration import Calibration
from exporter.proxy.calibration.calibrator import Terms
from exporter.proxy.proxies import PROXIES
from exporter.proxy.proxy import Features
from exporter.proxy.scoring.scorer import Scorer

_KNOWN = 0.99
"""A window is one model's if its settled requests make up so much of all presence in it."""
_ROW_SECONDS = 10.0
"""Longer than most requests decode: their tokens are booked evenly, which in shorter rows blurs what a token costs."""
_LEAST_ROWS = 5
"""A short window is cut into shorter rows, or there would be nothing to learn from for long."""
_MOST_MODELS = 20
"""Proxies are kept of so many models of one server: each has hundreds of time series."""
_LEAST_BUSY_SECONDS = 1.0
"""A window is scored if somebody was there for so long: a sensor tells less than that only roughly."""


class Proxying:
    """All proxies of one server, by model."""

    def __init__(self, server: str, ledger: Ledger, observer: Observer, settings: Settings) -> None:
        self._server = server
        self._ledger = ledger
        self._observer = observer
        self._names = settings.proxies
        self._places = list(ledger.serving(server))
        self._limit_watts = together(
            [ledger.meters[name].device.limit_watts for group, _ in self._places for name in group.devices]
        )
        row_seconds = min(_ROW_SECONDS, settings.scoring.window_seconds / _LEAST_ROWS)
        self._slices_a_row = max(round(row_seconds / ledger.slice_seconds), 1)
        self._row_seconds = self._slices_a_row * ledger.slice_seconds
        self._rows_a_window = max(round(settings.scoring.window_seconds / self._row_seconds), 1)
        self._scored_until = self._window_after(self._oldest_row())
        self.students: dict[str, Student] = {}
        self.overflows = 0

    # --- requests settle -------------------------------------------------------------------------------------------

    def settle(self, model: str, finished: Sequence[Finished], settled: Settled) -> Mapping[ProxyName, Floats]:
        """Predict requests of one model that settle, and book the predictions.

        Args:
            model: whose requests.
            finished: the requests.
            settled: what is known of them, a row each.

        Returns:
            Joules by proxy, each of shape (requests,); NaN where it cannot say.
        """
        if model not in self.students and len(self.students) >= _MOST_MODELS:
            self.overflows += len(finished)
            return {}
        return self.student(model).settle(finished, settled)

    def student(self, model: str) -> Student:
        """What is kept of this model; begun where it is new."""
        if model not in self.students:
            scorer = Scorer({name: PROXIES[name](self._limit_watts) for name in self._names})
            self.students[model] = Student(scorer, Bookings(self._scored_until, self._row_seconds, self._names))
        return self.students[model]

    # --- windows are complete --------------------------------------------------------------------------------------

    def learn(self, until: float) -> None:
        """Score and learn from windows that end before `until`; whoever ran before it has settled."""
        stop = int(until / self._row_seconds)
        self._scored_until = max(self._scored_until, self._window_after(self._oldest_row()))
        if self._scored_until + self._rows_a_window > stop:
            return
        for student in self.students.values():
            student.take_in()
        while self._scored_until + self._rows_a_window <= stop:
            self._close_window(self._scored_until, self._scored_until + self._rows_a_window)
            self._scored_until += self._rows_a_window
        for student in self.students.values():
            student.booked.forget(self._scored_until)

    def _oldest_row(self) -> float:
        """The first row, or part of one, of which all slices are still there."""
        return max((group.slices.closed for group, _ in self._places), default=0) / self._slices_a_row

    def _window_after(self, row: float) -> int:
        """The first row of the first window that begins at or after this row."""
        return ceil(row / self._rows_a_window) * self._rows_a_window

    def _close_window(self, first: int, stop: int) -> None:
        numbers = range(first * self._slices_a_row, stop * self._slices_a_row)
        presence = self._rows(self._presence(numbers))
        if presence.sum() <= 0.0 or not self._is_metered(numbers):
            return
        for student in self.students.values():
            table = student.booked.table(first, stop)
            if table[booking.PRESENCE].sum() >= _KNOWN * presence.sum():
                self._score(student.scorer, table, numbers)
                return

    def _score(self, scorer: Scorer, table: Mapping[str, Floats], numbers: range) -> None:
        group, lane = self._places[0]
        held = group.slices.amounts[:, lane, group.slices.place(numbers)]
        shared, steps = (self._rows(worth * held[PRESENCE]) for worth in sharing(held, self._ledger.slice_seconds))
        known = {name: table[name] for name in (*booking.EVENLY, *booking.EARLY, *booking.LATER)}
        told = np.where(np.isnan(known["decode_tokens"]), np.nan, steps)
        there = self._rows(held[PRESENCE])
        rows = Features(**known, served_seconds=there, shared_seconds=shared, step_shares=told)
        joules = self._rows(self._busy(numbers))
        busy = (shared > 0.0) & (joules > 0.0)
        if not busy.any():
            return
        if shared.sum() < _LEAST_BUSY_SECONDS:
            scorer.learn(rows.rows(busy), joules[busy], self._row_seconds)
            return
        predicted = {name: float(table[name].sum()) for name in self._names}
        scorer.close_window(predicted, rows.rows(busy), joules[busy], self._row_seconds)

    def _is_metered(self, numbers: range) -> bool:
        """Whether the energy of these slices is known, and this server's alone."""
        start, end = (number * self._ledger.slice_seconds for number in (numbers.start, numbers.stop))
        return all(
            self._observer.can_meter(group, start, end) and not others(group, lane, numbers.start, numbers.stop).any()
            for group, lane in self._places
        )

    def _presence(self, numbers: range) -> Floats:
        if not self._places:
            return np.zeros(len(numbers))
        group, lane = self._places[0]
        presence: Floats = group.slices.amounts[PRESENCE, lane, group.slices.place(numbers)]
        return presence

    def _busy(self, numbers: range) -> Floats:
        presence = self._presence(numbers)
        return sum((self._observer.busy(group, numbers, presence) for group, _ in self._places), np.zeros(len(numbers)))

    def _rows(self, per_slice: Floats) -> Floats:
        rows: Floats = per_slice.reshape(-1, self._slices_a_row).sum(axis=1)
        return rows

    # --- what is known ---------------------------------------------------------------------------------------------

    def views(self) -> tuple[ProxyView, ...]:
        """Every proxy of every model, as it stands."""
        return tuple(view for model, one in self.students.items() for view in one.scorer.views(self._server, model))

    def calibrations(self, terms: Callable[[str], Terms]) -> Iterator[Calibration]:
        """What was learned, by model; `terms` says of each what is no matter of learning."""
        for model, student in self.students.items():
            views = student.scorer.views(self._server, model)
            made = student.calibrator.calibration(terms(model), views, student.latency.snapshot())
            if made is not None:
                yield made

    # --- across restarts -------------------------------------------------------------------------------------------

    def books(self) -> dict[str, Any]:
        """What every checkpoint saves, as JSON values."""
        return {
            "scored_until": self._scored_until,
            "row_seconds": self._row_seconds,
            "models": {model: student.scorer.books() for model, student in self.students.items()},
        }

    def samples(self) -> dict[str, Any]:
        """What is saved now and then because it is large, as JSON values."""
        return {model: student.samples() for model, student in self.students.items()}

    def restore(self, books: Mapping[str, Any], samples: Mapping[str, Any]) -> None:
        """Go on from what was saved; windows that were open then are not scored, since their bookings are gone."""
        for model, saved in books["models"].items():
            self.student(model).restore(saved, samples.get(model, {}))
        if books["row_seconds"] == self._row_seconds:
            self._scored_until = self._window_after(books["scored_until"])
