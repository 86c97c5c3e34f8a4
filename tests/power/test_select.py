import pytest

from exporter.domain.errors import SourceError
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant
from exporter.power.cpu import CpuEstimateSource
from exporter.power.nvml import NvmlSource
from exporter.power.select import SOURCES, Factory, Now, open_source
from exporter.power.source import PowerSource
from tests.fakes.nvml import FakeGpu
from tests.power.conftest import PlugIn


def now() -> Instant:
    return Instant(0.0)


def refusing(why: str) -> Factory:
    def refuse(_settings: PowerSettings, _now: Now) -> PowerSource:
        raise SourceError(why, "do something")

    return refuse


def working(settings: PowerSettings, now: Now) -> PowerSource:
    return CpuEstimateSource(settings.cpu, now)


def test_auto_tries_the_best_first() -> None:
    assert list(SOURCES) == ["nvml", "rapl", "cpu"]


def test_auto_takes_the_first_that_works_and_remembers_why_not_the_others() -> None:
    sources = {"a": refusing("no a here"), "b": working, "c": refusing("never asked")}
    opened = open_source("auto", PowerSettings(), now, sources=sources)
    assert opened.name == "b"
    assert opened.refusals == {"a": "no a here (do something)"}


def test_auto_with_nothing_that_works_tells_every_reason() -> None:
    sources = {"a": refusing("no a here"), "b": refusing("nor b")}
    with pytest.raises(SourceError, match=r"a: no a here \(do something\); b: nor b"):
        open_source("auto", PowerSettings(), now, sources=sources)


def test_a_source_asked_for_by_name_is_that_or_nothing() -> None:
    sources = {"a": refusing("no a here"), "b": working}
    assert open_source("b", PowerSettings(), now, sources=sources).refusals == {}
    with pytest.raises(SourceError, match="no a here"):
        open_source("a", PowerSettings(), now, sources=sources)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SourceError, match=r"'abacus' \(one of auto, nvml, rapl, cpu\)"):
        open_source("abacus", PowerSettings(), now)


def test_auto_finds_the_gpu(plug_in: PlugIn) -> None:
    plug_in([FakeGpu()])
    opened = open_source("auto", PowerSettings(), now)
    assert (opened.name, type(opened.source), opened.refusals) == ("nvml", NvmlSource, {})
