"""Proxies taught on one simulated server and held against metered time of another: what their benchmarks share.

What is held is what the exporter ships: a whole pipeline is told a run, its proxies predict requests as they settle,
and each prediction is booked into windows of 60 s and held against the energy that was metered in them. A proxy that
was taught elsewhere learns no more, and is as silent as the shipped one where it could only guess.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np

from exporter.domain.settings import ProxyName, Settings
from exporter.domain.snapshot import ProxyView
from exporter.domain.units import later
from exporter.pipeline.booking import Bookings
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.student import Student
from exporter.proxy.calibration.calibrator import Calibrator
from exporter.proxy.proxies import PROXIES
from exporter.proxy.proxy import Coefficient, Features, Floats, Proxy
from exporter.proxy.scoring.scorer import Scorer
from exporter.simulate.batching import Run
from tests.pipeline.telling import AFTER_SECONDS, SERVER, counters, gpus, hear, settings, tell
from tests.simulation.hearing import Sight, events

NAMES = Settings().proxies
SEES_ALL = Sight(whole=True)
"""A log that tells all, with how long a request waited for its place."""
_TICK_SECONDS, _POLL_SECONDS = 2.0, 0.1
"""Coarser than live, for speed: what settles and what is metered is the same."""

Proxies = Mapping[ProxyName, Proxy]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Figures:
    """One proxy on one run; NaN where it said nothing of half the windows or more, or there were few.

    Attributes:
        error: of a window's energy, the mean of |predicted - metered| / metered.
        bias: of all windows' energy together, + too much.
    """

    error: float
    bias: float

    @property
    def silent(self) -> bool:
        """Whether it said too little to be judged."""
        return math.isnan(self.error)


Held = Mapping[ProxyName, Figures]
"""All proxies on one run."""


class Taught:
    """A proxy that learns no more."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def predict(self, seen: Features) -> Floats:
        """Joules by what was learned before; NaN where that is a guess."""
        return self._proxy.predict(seen)

    def learn(self, seen: Features, joules: Floats, seconds: float) -> None:
        """Never."""

    @property
    def coefficients(self) -> Mapping[str, Coefficient]:
        """As they were learned."""
        return self._proxy.coefficients


class _NoCalibrator(Calibrator):
    """Nobody asks for a calibration, and it would not know the names by which classes are told apart."""

    def observe(self, *_: Any, **__: Any) -> None:
        """Nothing is kept."""


def untaught(tdp_watts: float) -> Proxies:
    """New proxies, for devices that may draw so much together."""
    return {name: PROXIES[name](tdp_watts) for name in NAMES}


def teach(runs: Sequence[Run], sight: Sight = SEES_ALL) -> Proxies:
    """Proxies that have seen these runs of one server, one after the other, and learn no more."""
    physics = runs[0].physics
    proxies = untaught(physics.tdp_watts)
    for run in runs:
        _watch(run, proxies, sight)
    return {name: Taught(proxy) for name, proxy in proxies.items()}


def hold(run: Run, classes: Mapping[str, Proxies], sight: Sight = SEES_ALL) -> Mapping[str, Held]:
    """Several classes of proxies, each taught in its own way, held against the same run."""
    panel = {f"{name} of {one}": proxy for one, proxies in classes.items() for name, proxy in proxies.items()}
    views = _watch(run, cast("Proxies", panel), sight)
    most = max(view.scores["window"].samples for view in views)
    found = {str(view.proxy): _figures(view, most) for view in views}
    return {one: {name: found[f"{name} of {one}"] for name in proxies} for one, proxies in classes.items()}


def _watch(run: Run, proxies: Proxies, sight: Sight) -> Sequence[ProxyView]:
    """Tell a run to a pipeline whose proxies are these; returns how they did."""
    names = tuple(proxies)
    pipeline = Pipeline(replace(settings(), proxies=names), gpus(len(run.physics.gpu_shares)), run.begin)
    proxying = pipeline.servers[SERVER].proxying
    row_seconds = proxying.books()["row_seconds"]
    booked = Bookings(int(run.begin / row_seconds), row_seconds, names)
    proxying.students[run.physics.model] = Student(Scorer(proxies), booked, _NoCalibrator())
    end = later(run.end, AFTER_SECONDS)
    readings = counters(run, every_seconds=_POLL_SECONDS, until=end)
    tell(pipeline, readings, hear(events(run, sight)), begin=run.begin, end=end, tick_seconds=_TICK_SECONDS)
    return pipeline.snapshot(end).proxies


def _figures(view: ProxyView, windows: int) -> Figures:
    """How a proxy did; `windows` could be scored at most."""
    score = view.scores["window"]
    if 2 * score.samples <= windows:
        return Figures(math.nan, math.nan)
    return Figures(score.lifetime.get("mape", math.nan), score.lifetime.get("bias", math.nan))


# --- over seeds, and on paper --------------------------------------------------------------------------------------


def over_seeds(ask: Callable[[int], Answer], seeds: int, jobs: int) -> list[Answer]:
    """The answer of each seed, from so many processes at once."""
    if jobs == 1:
        return [ask(seed) for seed in range(seeds)]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(ask, range(seeds)))


def markdown(first: str, rows: Mapping[str, Sequence[str]], columns: Sequence[str] = NAMES) -> Iterator[str]:
    """A table, a line each: `first` is over the rows' names, the columns are names in code."""
    yield f"| {first} | " + " | ".join(f"`{name}`" for name in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, cells in rows.items():
        yield f"| {name} | " + " | ".join(cells) + " |"


def errors_cell(held: Sequence[Figures]) -> str:
    """The mean error over seeds, and in brackets the worst of them."""
    mean = mean_error(held)
    if mean is None:
        return "silent"
    silent = sum(one.silent for one in held)
    note = f", silent on {silent}" if silent else ""
    return f"{percent(mean)} ({percent(max(one.error for one in held if not one.silent))}{note})"


def mean_error(held: Sequence[Figures]) -> float | None:
    """Over those where it spoke; None where it never did."""
    errors = [one.error for one in held if not one.silent]
    return float(np.mean(errors)) if errors else None


def bias_cell(held: Sequence[Figures]) -> str:
    """The mean bias over seeds."""
    spoke = [one.bias for one in held if not one.silent]
    return signed(float(np.mean(spoke))) if spoke else "silent"


def percent(part: float) -> str:
    """With as many digits as tell something."""
    return f"{100.0 * part:.{_digits(part)}f} %"


def signed(part: float) -> str:
    """With its sign, which nothing has not."""
    part = round(part, 2 + _digits(part))
    return f"{part * 100.0:+.{_digits(part)}f} %" if part else "0.0 %"


def _digits(part: float) -> int:
    return 1 if abs(part) < 0.0995 else 0
