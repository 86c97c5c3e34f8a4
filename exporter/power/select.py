"""Power sources by name, and the choice among them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.domain.errors import SourceError
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant
from exporter.power.nvml import NvmlSource
from exporter.power.rapl import RaplSource
from exporter.power.source import PowerSource

Now = Callable[[], Instant]
Factory = Callable[[PowerSettings, Now], PowerSource]

AUTO = "auto"


def _estimate(settings: PowerSettings, now: Now) -> PowerSource:
    from exporter.power.cpu import CpuEstimateSource  # noqa: PLC0415 - a machine with a sensor need not load psutil

    return CpuEstimateSource(settings.cpu, now)


SOURCES: Mapping[str, Factory] = {
    "nvml": NvmlSource,
    "rapl": lambda _settings, now: RaplSource(now),
    "cpu": _estimate,
}
"""Every source, the best first: `auto` takes the first that works."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that works here.

    Attributes:
        source: the open source.
        name: what it is called.
        refusals: sources that were tried before it, each with why it did not work.
    """

    source: PowerSource
    name: str
    refusals: Mapping[str, str] = field(default_factory=dict)


def open_source(name: str, settings: PowerSettings, now: Now, *, sources: Mapping[str, Factory] = SOURCES) -> Opened:
    """Open a source by name, or the first that works for `auto`.

    Args:
        name: a key of `sources`, or `auto`.
        settings: handed to the source.
        now: the present instant.
        sources: what there is to choose from, the best first.

    Raises:
        SourceError: it does not work here, or for `auto` none does; says why.
    """
    if name == AUTO:
        return _first_that_works(list(sources), settings, now, sources)
    if name not in sources:
        raise SourceError(f"there is no power source {name!r}", f"one of {AUTO}, {', '.join(sources)}")
    return Opened(sources[name](settings, now), name)


def _first_that_works(
    names: Sequence[str], settings: PowerSettings, now: Now, sources: Mapping[str, Factory]
) -> Opened:
    refusals: dict[str, str] = {}
    for name in names:
        try:
            return Opened(sources[name](settings, now), name, refusals)
        except SourceError as error:
            refusals[name] = str(error)
    told = "; ".join(f"{name}: {why}" for name, why in refusals.items())
    raise SourceError(f"no power source works here: {told}")
