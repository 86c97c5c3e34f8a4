"""Which device's energy is measured: the one that the model runs on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from exporter.components.plan import SystemBenchClock
from exporter.domain.errors import ComponentsError, SourceError
from exporter.domain.readings import Device
from exporter.domain.settings import PowerSettings, PowerSourceName
from exporter.power.select import SOURCES, Opened, open_source
from exporter.power.source import PowerSource

ON_A_GPU: tuple[PowerSourceName, ...] = ("nvml",)
ON_A_CPU: tuple[PowerSourceName, ...] = ("rapl", "cpu")
"""What `auto` tries, the best first: what a GPU draws says nothing of a model on the CPU, nor the other way round."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model runs.

    Attributes:
        torch_device: PyTorch's name, `cpu` or `cuda:0`.
        uuid: of the GPU, as NVML writes it; empty where PyTorch does not say, or on a CPU.
    """

    torch_device: str
    uuid: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.torch_device != "cpu"


@dataclass(frozen=True, slots=True)
class Meter:
    """An open source, and which of its devices is metered."""

    source: PowerSource
    device: Device
    clock: SystemBenchClock
    notes: Sequence[str] = ()


@contextmanager
def metering(place: Place, source: str = "auto", gpu: str | None = None) -> Iterator[Meter]:
    """Open the power source that sees where the model runs.

    Args:
        place: where that is.
        source: `auto`, or a source by name.
        gpu: index, UUID or PCI bus id of the GPU to be metered; None: the one that the model runs on.

    Raises:
        SourceError: the source does not work here.
        ComponentsError: it does not see the device, or nobody knows which of several it is.
    """
    clock = SystemBenchClock()
    opened = _opened(place, source, gpu, clock)
    try:
        yield Meter(opened.source, _device(opened, place, gpu), clock, _notes(opened, place))
    finally:
        opened.source.close()


def _opened(place: Place, source: str, gpu: str | None, clock: SystemBenchClock) -> Opened:
    settings = PowerSettings(gpus="all" if gpu is None else (gpu,))
    if source != "auto":
        return open_source(source, settings, clock.now)
    names = ON_A_GPU if place.is_gpu else ON_A_CPU
    try:
        return open_source("auto", settings, clock.now, sources={name: SOURCES[name] for name in names})
    except SourceError as error:
        raise ComponentsError(f"the energy of {place.torch_device} cannot be known here: {error}") from error


def _device(opened: Opened, place: Place, gpu: str | None) -> Device:
    kind = "gpu" if place.is_gpu else "cpu"
    fitting = [device for device in opened.source.devices if device.kind == kind]
    if not fitting:
        there = ", ".join(device.name for device in opened.source.devices)
        raise ComponentsError(
            f"the model runs on {place.torch_device}, and source {opened.name} meters {there}: choose another --source"
        )
    same = [device for device in fitting if place.uuid and device.uuid == place.uuid]
    if same or len(fitting) == 1 or not place.is_gpu:
        return (same or fitting)[0]
    there = ", ".join(f"{device.name} {device.uuid}" for device in fitting)
    asked = f"--gpu {gpu} " if gpu is not None else ""
    raise ComponentsError(f"{asked}which GPU is {place.torch_device}? Say --gpu with one of: {there}")


def _notes(opened: Opened, place: Place) -> list[str]:
    """What whoever reads the figures has to know."""
    notes = [f"power source {name} is not used: {why}" for name, why in opened.refusals.items()]
    metered = [device for device in opened.source.devices if device.kind == "cpu"]
    if not place.is_gpu and len(metered) > 1:
        notes.append(f"of {len(metered)} CPU packages only {metered[0].name} is metered: pin the work there (taskset)")
    return notes
