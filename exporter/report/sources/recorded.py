"""A recording, played: the same books as `replay` prints, closed at the recording's end.

Requests are known one by one, so their quantiles are told from buckets a hundredth apart, by powers of 1.01; where
books of before the recording were taken up, requests of those are known only by the exporter's own buckets.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from exporter.domain.readings import Method
from exporter.domain.snapshot import DeviceView, HistogramValue, ModelView, SettledRequest, Snapshot
from exporter.recording.playing import Player, pipeline_of
from exporter.recording.recording import Recording
from exporter.report.account import Account, DeviceBook, Usage
from exporter.report.sources.booked import Spent, by_methods
from exporter.report.sources.cautions import cautions_on

_STEP = math.log(1.01)
_LEAST = 1e-9
"""What is less than this many joules or seconds is nothing."""


def account(path: Path, *, watch: Callable[[float], None] = lambda _: None, name: str = "") -> Account:
    """What was booked in a recording, all requests settled and all books closed at its end.

    Args:
        path: the recording.
        watch: told now and then which part of it has been played, from 0 to 1.
        name: of the account; the file's without one.

    Raises:
        RecordingError: the file is no recording, or garbled.
        CalibrationError: a calibration that was recorded cannot be used here.
    """
    with Recording(path) as recording:
        player = Player([pipeline_of(recording.header)], recording.header.begin)
        seen = _Seen()
        for moment in player.play(recording):
            seen.take(moment.settled[0])
            watch(recording.progress)
        seen.take(player.finish().settled[0])
        snapshot = player.pipelines[0].snapshot(player.now)
        cut, header = recording.cut, recording.header
    books, usages = tuple(map(_book, snapshot.devices)), tuple(_usages(snapshot, seen))
    since = header.begin if snapshot.since is None else min(snapshot.since, header.begin)
    return Account(
        name=name or path.name,
        origin="a recording",
        begin=since,
        end=player.now,
        books=books,
        usages=usages,
        intensity_grams_per_kwh=header.settings.carbon.grams_per_kilowatt_hour,
        pue=header.settings.carbon.pue if header.settings.carbon.grams_per_kilowatt_hour is not None else None,
        cautions=(*_cautions(snapshot, header.begin, cut, player.faults), *cautions_on(books, usages)),
    )


def _cautions(snapshot: Snapshot, begin: float, cut: str, faults: int) -> Iterator[str]:
    if cut:
        yield f"{cut[:1].upper()}{cut[1:]}: what was recorded after that is missing."
    if faults:
        yield f"The pipeline met {faults} bug{'s' if faults > 1 else ''} while this was played: see the log."
    if snapshot.since is None:
        yield "The recording goes on with books of unknown age: the period seems shorter than it was."
    elif snapshot.since < begin:
        yield "The recording goes on with earlier books: what was booked before it began is in these figures."


@dataclass(slots=True)
class _Values:
    """What was observed of one model on one server."""

    joules: dict[Method, list[float]] = field(default_factory=lambda: defaultdict(list))
    each_token: dict[Method, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)

    def add(self, one: SettledRequest) -> None:
        """As the tally counts it."""
        self.seconds.append(one.end - one.start + one.queued_seconds)
        if one.time_to_first_token_seconds is not None:
            self.first_token.append(one.time_to_first_token_seconds)
        if one.has_energy:
            self.joules[one.method].append(one.joules)
            if one.output_tokens:
                self.each_token[one.method].append(one.joules / one.output_tokens)


@dataclass(slots=True)
class _Seen:
    """Every request that settled."""

    values: dict[tuple[str, str], _Values] = field(default_factory=lambda: defaultdict(_Values))

    def take(self, settled: Sequence[SettledRequest]) -> None:
        """These have."""
        for one in settled:
            self.values[one.server, one.model].add(one)


def _book(view: DeviceView) -> DeviceBook:
    return DeviceBook(view.device, "", view.metered_joules, dict(view.booked), view.unsettled_joules)


def _usages(snapshot: Snapshot, seen: _Seen) -> Iterator[Usage]:
    servers = {view.server: view for view in snapshot.servers}
    for view in snapshot.models:
        server, values = servers[view.server], seen.values[view.server, view.model]
        whole = Usage(
            server=view.server,
            model=view.model,
            place="",
            engine=server.engine,
            devices=server.devices,
            method=None,
            requests={outcome: count for outcome, count in view.requests.items() if count},
            tokens={direction: count for direction, count in view.tokens.items() if count},
            energy=None,
            energy_per_output_token=None,
            duration=_known(view.duration, values.seconds),
            time_to_first_token=_known(view.time_to_first_token, values.first_token),
        )
        yield from by_methods(whole, _spent(view, values))


def _spent(view: ModelView, values: _Values) -> Mapping[Method, Spent]:
    return {
        method: (joules, _known(view.energy_per_output_token[method], values.each_token[method]))
        for method, counted in view.energy.items()
        if (joules := _known(counted, values.joules[method])) is not None
    }


def _known(counted: HistogramValue, seen: Sequence[float]) -> HistogramValue | None:
    """What was counted, in finer buckets where every observation was seen; None where there was none."""
    if not any(counted.counts):
        return None
    return finely(seen, counted.sum) if len(seen) == sum(counted.counts) else counted


def finely(observed: Sequence[float], total: float) -> HistogramValue:
    """A histogram of which the bounds are powers of 1.01; the first holds all that is nothing or less."""
    powers = np.ceil(np.log(np.maximum(observed, _LEAST)) / _STEP - 1e-9).astype(np.int64)
    first, last = int(powers.min()), int(powers.max())
    counts = np.bincount(powers - first + 1, minlength=last - first + 3)
    bounds = np.exp(_STEP * np.arange(first - 1, last + 1))
    return HistogramValue(tuple(bounds.tolist()), tuple(counts.tolist()), total, cast("Any", (None,) * len(counts)))
