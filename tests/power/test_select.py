import pytest

from exporter.domain.errors import SourceError
from exporter.domain.readings import ReadFailure
from exporter.domain.settings import PowerSettings
from exporter.domain.units import Instant
from exporter.power.cpu import CpuEstimateSource
from exporter.power.nvml import NvmlSource
from exporter.power.select import SOURCES, Factory, Now, open_chosen, open_source
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
    assert {name: str(why) for name, why in opened.refusals.items()} == {"a": "no a here (do something)"}


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


def test_nothing_is_opened_where_nothing_is_to_be_metered() -> None:
    chosen = open_chosen(PowerSettings(source=("none",)), now, sources={})
    assert (chosen.opened, chosen.nothing) == ((), "power.source is `none`")


def test_where_servers_may_be_elsewhere_auto_finds_a_gpu_or_nothing() -> None:
    sources = {"nvml": refusing("no driver here"), "rapl": working, "cpu": working}
    chosen = open_chosen(PowerSettings(), now, calibrated=True, sources=sources)
    assert chosen.opened == ()
    assert chosen.nothing == (
        "power.source is `auto`, every server has a calibration, and no power source works here: "
        "nvml: no driver here (do something)"
    )
    with_gpu = open_chosen(PowerSettings(), now, calibrated=True, sources={**sources, "nvml": working})
    assert [each.name for each in with_gpu.opened] == ["nvml"]


def test_where_servers_may_be_elsewhere_a_source_asked_for_by_name_is_opened_all_the_same() -> None:
    sources = {"nvml": refusing("no driver here"), "rapl": working}
    chosen = open_chosen(PowerSettings(source=("rapl",)), now, calibrated=True, sources=sources)
    assert [each.name for each in chosen.opened] == ["rapl"]


def test_a_gpu_that_was_asked_for_and_is_not_there_is_missed_even_then() -> None:
    with pytest.raises(SourceError, match="no driver here"):
        open_chosen(PowerSettings(gpus=("0",)), now, calibrated=True, sources={"nvml": refusing("no driver here")})


def test_of_several_sources_all_are_closed_when_one_fails() -> None:
    opened: list[PowerSource] = []

    def remembered(settings: PowerSettings, now: Now) -> PowerSource:
        opened.append(working(settings, now))
        return opened[0]

    sources = {"nvml": remembered, "rapl": refusing("no rapl here")}
    with pytest.raises(SourceError, match="no rapl here"):
        open_chosen(PowerSettings(source=("nvml", "rapl")), now, sources=sources)
    assert [reading.reason for reading in opened[0].read() if isinstance(reading, ReadFailure)] == ["closed"]
