"""One exporter's counters over a period, through restarts. Pure.

Theory of operation. `increase()` guesses: it stretches what it saw to the edges of the period, each counter by a factor
of its own, so the shares of energy would not add up to the meter, and a day not to its hours. Here a counter's increase
is the difference of two samples, the last before the end and the last before the beginning; all counters of an exporter
are scraped together, so books that balance in every scrape balance in the difference, and periods add up.

What it misses: at most what was booked between a period's edge and the last scrape before it, and what was booked after
the last scrape before a restart. Nothing is made up for either.

A counter that starts anew is not recognised by falling (it may have grown past its old value by the next scrape) but by
what the exporter says: when its books began. Each beginning makes an *incarnation*, whose counters began at zero. An
exporter whose state survives a restart goes on with the same books and is one incarnation. An increase is the sum over
incarnations; what was unsettled when one ended is lost with it, and stays unsettled in this account.

Where the first sample lies within the period, books that began within it count from zero; of older ones only what came
after that sample is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.metrics.catalogue import energy
from exporter.report.sources.series import ADDED_UP, COUNTERS, Series, Values


@dataclass(frozen=True, slots=True)
class Incarnation:
    """Some books of one exporter, as they are seen in a period.

    Attributes:
        base: where they stood before; empty where they began at zero within the period.
        last: where they stood when they were last seen in it.
    """

    base: Values
    last: Values


def grown(incarnations: Sequence[Incarnation]) -> Values:
    """What was added to every counter, and what was left unsettled; of all else the latest value."""
    values: dict[Series, float] = {}
    for one in incarnations:
        for series, value in one.last.items():
            if series.name not in ADDED_UP:
                values[series] = value
            else:
                values[series] = values.get(series, 0.0) + _growth(series, one.base.get(series, 0.0), value)
    return values


def _growth(series: Series, base: float, last: float) -> float:
    """A counter that fell within the same books was begun anew alone: a histogram that got other buckets."""
    return last if series.name in COUNTERS and last < base else last - base


def with_unsettled(least: Mapping[Series, float]) -> Values:
    """Least values of counters are their first; what was unsettled then is what was metered and not booked."""
    unsettled: dict[tuple[str, ...], float] = {}
    for series, value in least.items():
        if series.name == energy.DEVICE_ENERGY.name:
            device = series.labels[:3]
            unsettled[device] = unsettled.get(device, 0.0) + value
        elif series.name == energy.ENERGY.name:
            device = series.labels[:3]
            unsettled[device] = unsettled.get(device, 0.0) - value
    return {**least, **{Series(energy.ENERGY_UNSETTLED.name, device): joules for device, joules in unsettled.items()}}
