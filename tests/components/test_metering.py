import pytest

from exporter.components.metering import Meter, Place, metering
from exporter.domain.errors import ComponentsError, SourceError
from exporter.domain.readings import Device, Reading
from exporter.power import select

GPUS = (Device("gpu0", "gpu", "GPU-a", "H100"), Device("gpu1", "gpu", "GPU-b", "H100"))


class Sensors:
    """A source with these devices."""

    def __init__(self, *devices: Device) -> None:
        self.devices = devices
        self.closed = False

    def read(self) -> list[Reading]:
        return []

    def close(self) -> None:
        self.closed = True


def installed(monkeypatch: pytest.MonkeyPatch, **sources: Sensors | None) -> None:
    """This machine has these; None: it has not."""
    for name, source in sources.items():

        def opened(_settings: object, _now: object, name: str = name, source: Sensors | None = source) -> Sensors:
            if source is None:
                raise SourceError(f"no {name} here")
            return source

        monkeypatch.setitem(select.SOURCES, name, opened)


def metered(place: Place, source: str = "auto", gpu: str | None = None) -> Meter:
    with metering(place, source, gpu) as meter:
        return meter


def test_a_gpu_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, nvml=Sensors(*GPUS))
    assert metered(Place("cuda:0", "GPU-b")).device.name == "gpu1", "CUDA and NVML count differently"


def test_of_several_gpus_none_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, nvml=Sensors(*GPUS))
    with pytest.raises(ComponentsError, match=r"which GPU is cuda:0\? Say --gpu with one of: gpu0 GPU-a, gpu1 GPU-b"):
        metered(Place("cuda:0"))


def test_the_only_gpu_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, nvml=Sensors(GPUS[0]))
    assert metered(Place("cuda:0")).device.name == "gpu0"


def test_what_a_gpu_draws_says_nothing_of_a_model_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = Device("cpu0", "cpu", method="estimated")
    installed(monkeypatch, nvml=Sensors(*GPUS), rapl=None, cpu=Sensors(cpu))
    meter = metered(Place("cpu"))
    assert meter.device == cpu
    assert meter.notes == ["power source rapl is not used: no rapl here"]


def test_nor_the_other_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, nvml=None, rapl=Sensors(Device("cpu0", "cpu")))
    with pytest.raises(ComponentsError, match=r"the energy of cuda:0 cannot be known here: .*no nvml here"):
        metered(Place("cuda:0", "GPU-a"))
    with pytest.raises(ComponentsError, match="the model runs on cuda:0, and source rapl meters cpu0"):
        metered(Place("cuda:0", "GPU-a"), "rapl")


def test_a_second_cpu_package_that_is_not_metered_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, rapl=Sensors(Device("cpu0", "cpu"), Device("dram0", "dram"), Device("cpu1", "cpu")))
    meter = metered(Place("cpu"))
    assert meter.device.name == "cpu0"
    assert "of 2 CPU packages only cpu0 is metered" in meter.notes[0]


def test_a_source_is_closed_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    sensors = Sensors(*GPUS)
    installed(monkeypatch, nvml=sensors)
    with pytest.raises(ComponentsError):
        metered(Place("cuda:0"))
    assert sensors.closed


def test_a_source_that_is_asked_for_and_does_not_work_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, rapl=None)
    with pytest.raises(SourceError, match="no rapl here"):
        metered(Place("cpu"), "rapl")
