"""Which power source will be used, and what is to be expected of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from exporter.clock import SystemClock
from exporter.demo.shipped import FOLDER
from exporter.doctor.finding import Finding
from exporter.doctor.power import Metering, examine
from exporter.domain.errors import SourceError
from exporter.domain.readings import Device, ReadFailure, Reading
from exporter.domain.settings import CpuEstimate, PlayedRecording, PowerSettings
from exporter.domain.units import Instant
from exporter.metering.opening import sources_for
from exporter.power.cpu import CpuEstimateSource
from exporter.power.nvml import NvmlSource
from exporter.power.rapl import RaplSource
from exporter.power.select import Factory
from exporter.power.source import PowerSource
from tests.doctor.conftest import PlugIn, the
from tests.fakes.nvml import Counter, FakeGpu, Fault, Sensor

QUICK = FakeGpu(counter=Counter(period=0.02), instant=Sensor(window=0.025, period=0.02))
"""Of which half a second tells enough."""


def _refuses(_settings: PowerSettings, _now: Callable[[], Instant]) -> PowerSource:
    raise SourceError("it is not there", "plug it in")


def _estimates(_settings: PowerSettings, now: Callable[[], Instant]) -> PowerSource:
    return CpuEstimateSource(CpuEstimate(), now)


NOTHING: Mapping[str, Factory] = {"nvml": _refuses, "rapl": _refuses, "cpu": _estimates}
WITH_GPU: Mapping[str, Factory] = {"nvml": NvmlSource, "rapl": _refuses, "cpu": _estimates}


def _examined(settings: PowerSettings, sources: Mapping[str, Factory], seconds: float = 0.5) -> Metering:
    return examine(settings, SystemClock(), sources=sources, seconds=seconds)


def _verdicts(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {finding.subject: finding.verdict for finding in findings}


def test_without_a_sensor_the_estimate_is_said_loudly_but_is_no_failure() -> None:
    findings = _examined(PowerSettings(), NOTHING).findings
    assert _verdicts(findings) == {
        "nvml": "note",
        "rapl": "note",
        "cpu": "note",
        "fallback": "note",
        "in use": "warn",
        "cpu0": "ok",
        "cpu0 draw": "ok",
        "cpu0 expect": "note",
        "reading": "ok",
    }
    assert "ESTIMATED" in the(findings, "in use").text
    assert the(findings, "nvml").fix == "plug it in"


def test_where_auto_falls_back_it_is_said_when_it_looks_again() -> None:
    def not_loaded(_settings: PowerSettings, _now: Callable[[], Instant]) -> PowerSource:
        raise SourceError("NVML cannot start: driver_not_loaded", kind="driver_not_loaded")

    findings = _examined(PowerSettings(), {**NOTHING, "nvml": not_loaded}, 0.1).findings
    assert the(findings, "fallback").text == "`auto` falls back from nvml to cpu"
    assert "again after 5 s," in the(findings, "fallback").details[0]
    named = _examined(PowerSettings(source=("cpu",)), NOTHING, 0.1).findings
    assert "fallback" not in _verdicts(named)


def test_a_source_that_is_wanted_and_does_not_work_is_a_problem() -> None:
    metering = _examined(PowerSettings(source=("nvml",)), NOTHING)
    assert _verdicts(metering.findings) == {"nvml": "fail", "rapl": "note", "cpu": "note", "in use": "note"}
    assert metering.devices == ()


def test_nothing_to_meter_with_at_all_is_a_problem() -> None:
    metering = _examined(PowerSettings(), {"nvml": _refuses, "rapl": _refuses})
    assert _verdicts(metering.findings) == {"nvml": "note", "rapl": "note", "in use": "fail"}


def test_naming_a_gpu_that_is_not_there_is_a_problem_though_the_estimate_would_work(plug_in: PlugIn) -> None:
    plug_in([QUICK])
    assert the(_examined(PowerSettings(gpus=("7",)), WITH_GPU, 0.1).findings, "nvml").verdict == "fail"


def test_a_gpu_with_a_counter_is_in_order(plug_in: PlugIn) -> None:
    plug_in([QUICK])
    metering = _examined(PowerSettings(), WITH_GPU)
    assert [device.name for device in metering.devices] == ["gpu0"]
    seen = _verdicts(metering.findings)
    for subject in ("nvml", "in use", "gpu0", "gpu0 draw", "gpu0 check", "gpu0 expect", "reading"):
        assert seen[subject] == "ok", the(metering.findings, subject)
    assert "ESTIMATED" not in the(metering.findings, "in use").text


def test_a_mean_over_a_second_needs_requests_of_many_seconds(plug_in: PlugIn) -> None:
    plug_in([FakeGpu(architecture=8, faults=(Fault("no_counter"), Fault("no_instant")))])
    findings = _examined(PowerSettings(), WITH_GPU, 0.2).findings
    assert "for 10 s or longer" in the(findings, "gpu0 expect").text
    assert any("mean over the last 1 s" in detail for detail in the(findings, "gpu0").details)


def test_a_counter_that_power_contradicts_is_said(plug_in: PlugIn) -> None:
    plug_in([FakeGpu(counter=Counter(period=0.02, gain=2.0), instant=Sensor(window=0.025, period=0.02))])
    assert the(_examined(PowerSettings(), WITH_GPU).findings, "gpu0 check").verdict == "warn"


class LostGpu:
    """Fell off the bus after it was opened."""

    devices = (Device("gpu0", "gpu", has_counter=True),)

    def __init__(self, _settings: PowerSettings, now: Callable[[], Instant]) -> None:
        self._now = now

    def read(self) -> Sequence[Reading]:
        return [ReadFailure("gpu0", self._now(), "gpu_is_lost")]

    def close(self) -> None:
        """Nothing to let go."""


def test_a_gpu_that_answers_nothing_is_a_problem_with_its_reason() -> None:
    sensor = the(_examined(PowerSettings(), {**NOTHING, "nvml": LostGpu}, 0.1).findings, "gpu0 draw")
    assert sensor.verdict == "fail"
    assert "gpu_is_lost" in sensor.text


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in {"name": "package-0", "max_energy_range_uj": "1000", "energy_uj": "5"}.items():
        (zone / name).write_text(f"{text}\n")
    return tmp_path


def test_rapl_is_measured_and_preferred_to_the_estimate(powercap: Path) -> None:
    sources = {**NOTHING, "rapl": lambda _, now: RaplSource(now, powercap)}
    metering = _examined(PowerSettings(), sources, 0.1)
    assert the(metering.findings, "in use").verdict == "ok"
    assert [device.name for device in metering.devices] == ["cpu0"]


def test_a_recording_is_said_to_be_one_loudly_with_its_day_and_machine() -> None:
    settings = PowerSettings(source=("recording",), recording=PlayedRecording(str(FOLDER / "cpu.jsonl.gz")))
    metering = examine(settings, SystemClock(), sources={**NOTHING, **_recording(settings)}, seconds=0.5)
    findings = metering.findings
    assert the(findings, "recording").text == "can be played (cpu0)"
    assert the(findings, "in use").verdict == "warn"
    assert "RECORDED, nothing is measured here and now" in the(findings, "in use").text
    assert the(findings, "cpu0").details[0] == "recorded: 2026-11-21; AMD EPYC, 2 cores; ESTIMATED then"
    assert "did not draw these joules" in the(findings, "cpu0 expect").text


def test_a_recording_that_cannot_be_played_is_a_problem_with_its_remedy(tmp_path: Path) -> None:
    settings = PowerSettings(source=("recording",), recording=PlayedRecording(str(tmp_path / "none")))
    metering = examine(settings, SystemClock(), sources={**NOTHING, **_recording(settings)}, seconds=0.1)
    assert not metering.works
    refused = the(metering.findings, "recording")
    assert refused.verdict == "fail"
    assert refused.fix.startswith("name a file that `record` made")


def _recording(settings: PowerSettings) -> Mapping[str, Factory]:
    return {name: factory for name, factory in sources_for(settings).items() if name == "recording"}
