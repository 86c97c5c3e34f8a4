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
NONE = "none"
_WHERE_SERVERS_MAY_BE_ELSEWHERE = ("nvml",)
"""What `auto` tries where every server has a calibration: what this machine's CPU does says nothing about them."""


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
    refusals: Mapping[str, SourceError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The open sources that settings ask for.

    Attributes:
        opened: the sources.
        nothing: why there are none; empty where there are some.
        passed_over: sources that `auto` would rather have taken, each with why it did not work.
    """

    opened: tuple[Opened, ...]
    nothing: str = ""
    passed_over: Mapping[str, SourceError] = field(default_factory=dict)


def open_chosen(
    settings: PowerSettings, now: Now, *, calibrated: bool = False, sources: Mapping[str, Factory] = SOURCES
) -> Chosen:
    """Open every source that the settings name, or none of them.

    Args:
        settings: which, and handed to each.
        now: the present instant.
        calibrated: whether every server has a calibration, so that `auto` may find nothing.
        sources: what there is to choose from, the best first.

    Raises:
        SourceError: one does not work here; says why.
    """
    if settings.source == (NONE,):
        return Chosen((), "power.source is `none`")
    if settings.source == (AUTO,) and calibrated:
        return _auto_where_servers_may_be_elsewhere(settings, now, sources)
    if settings.source == (AUTO,):
        best = open_source(AUTO, settings, now, sources=sources)
        return Chosen((best,), passed_over=best.refusals)
    opened: list[Opened] = []
    try:
        for name in settings.source:
            opened.append(open_source(name, settings, now, sources=sources))  # noqa: PERF401 - closed again on failure
    except Exception:
        for each in opened:
            each.source.close()
        raise
    return Chosen(tuple(opened))


def _auto_where_servers_may_be_elsewhere(settings: PowerSettings, now: Now, sources: Mapping[str, Factory]) -> Chosen:
    best, refusals = first_that_works(_WHERE_SERVERS_MAY_BE_ELSEWHERE, settings, now, sources)
    if best is not None:
        return Chosen((best,), passed_over=refusals)
    none_works = _none_works(refusals)
    if settings.gpus != "all":
        raise none_works
    why = f"power.source is `auto`, every server has a calibration, and {none_works.reason}"
    return Chosen((), why, passed_over=refusals)


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
        best, refusals = first_that_works(list(sources), settings, now, sources)
        if best is None:
            raise _none_works(refusals)
        return best
    if name not in sources:
        raise SourceError(f"there is no power source {name!r}", f"one of {AUTO}, {', '.join(sources)}")
    return Opened(sources[name](settings, now), name)


def first_that_works(
    names: Sequence[str], settings: PowerSettings, now: Now, sources: Mapping[str, Factory]
) -> tuple[Opened | None, dict[str, SourceError]]:
    """The first that opens, None where none does, and what those before it said."""
    refusals: dict[str, SourceError] = {}
    for name in names:
        try:
            return Opened(sources[name](settings, now), name, refusals), refusals
        except SourceError as error:
            refusals[name] = error
    return None, refusals


def _none_works(refusals: Mapping[str, SourceError]) -> SourceError:
    told = "; ".join(f"{name}: {why}" for name, why in refusals.items())
    return SourceError(f"no power source works here: {told}")
