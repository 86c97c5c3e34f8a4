"""From settings to what meters: open power sources, their feeds, and a pipeline with books for their devices."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from exporter.clock import SystemClock
from exporter.config.calibrations import calibrations_for
from exporter.domain.errors import ConfigError
from exporter.domain.readings import Device
from exporter.domain.settings import PowerSettings, Settings
from exporter.domain.units import Instant
from exporter.engine import PowerFeed
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.server import serves
from exporter.power.sampler import Sampler
from exporter.power.select import SOURCES, Chosen, Factory, Opened, open_chosen
from exporter.proxy.calibration.calibration import Calibration

if TYPE_CHECKING:
    from exporter.recording.tape import Tape

log = logging.getLogger(__name__)


def sources_for(settings: PowerSettings) -> Mapping[str, Factory]:
    """Every source that these settings may mean, the best first for `auto`; some only where they are named."""
    named: dict[str, Factory] = {}
    if "dcgm" in settings.source:
        from exporter.power.dcgm import DcgmSource  # noqa: PLC0415 - few ask a dcgm-exporter

        named["dcgm"] = DcgmSource
    if "recording" in settings.source:
        from exporter.recording.source import RecordedSource  # noqa: PLC0415 - few play recordings

        named["recording"] = RecordedSource
    return {**SOURCES, **named}


def open_sources(settings: Settings, clock: SystemClock) -> Chosen:
    """Open the configured power sources and check that the servers find their devices among them.

    Raises:
        SourceError: one does not work here.
        ConfigError: they do not go together with the servers, or with one another.
    """
    calibrated = bool(settings.servers) and all(server.calibration is not None for server in settings.servers)
    sources = sources_for(settings.power)
    chosen = open_chosen(settings.power, clock.now, calibrated=calibrated, sources=sources)
    if chosen.nothing:
        log.info("nothing is metered: %s", chosen.nothing)
    try:
        check_devices(settings, devices_of(chosen.opened))
    except Exception:
        for each in chosen.opened:
            each.source.close()
        raise
    return chosen


def devices_of(opened: Sequence[Opened]) -> list[Device]:
    """The devices of all these sources."""
    return [device for each in opened for device in each.source.devices]


def check_devices(settings: Settings, devices: Sequence[Device]) -> None:
    """See that no device is metered twice and that every server finds one of its own.

    Raises:
        ConfigError: that is not so.
    """
    names = [device.name for device in devices]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ConfigError("power.source", f"two sources both meter {', '.join(sorted(doubled))}: leave one out")
    for index, server in enumerate(settings.servers):
        if devices and server.calibration is None and not any(serves(server, device) for device in devices):
            known = ", ".join(f"{device.name} {device.uuid}".strip() for device in devices)
            raise ConfigError(f"servers[{index}].gpus", f"{list(server.gpus)} names none of the devices here: {known}")


def open_pipeline(settings: Settings, devices: Sequence[Device], since: Instant, tape: "Tape | None") -> Pipeline:
    """Empty books for these devices; what they are told goes on the tape, if there is one.

    Raises:
        ConfigError: a calibration cannot be used.
        RecordingError: the tape cannot be written.
    """
    chosen = _calibrations(settings, devices)
    if tape is None:
        return Pipeline(settings, devices, since, calibrations=chosen)
    from exporter.recording.recorder import RecordedPipeline  # noqa: PLC0415 - few are recorded

    return RecordedPipeline(settings, devices, since, calibrations=chosen, tape=tape)


def power_feeds(settings: Settings, opened: Sequence[Opened], clock: SystemClock) -> list[PowerFeed]:
    """Each source with a sampler that has yet to be started."""
    return [
        PowerFeed(
            each.name,
            Sampler(each.source, settings.power.interval_seconds, clock),
            {name: str(why) for name, why in each.refusals.items()},
        )
        for each in opened
    ]


def announce(opened: Opened) -> None:
    """Say in the log what is metered by it, and what was tried before."""
    for name, why in opened.refusals.items():
        log.info("power source %s is not used: %s", name, why)
    for device in opened.source.devices:
        log.info("metering %s (%s) by %s: %s", device.name, device.model or device.kind, opened.name, _how(device))


def _calibrations(settings: Settings, devices: Sequence[Device]) -> dict[str, Calibration]:
    """What the servers are estimated with that none of these devices serves. Says who is estimated, and who cannot be.

    Raises:
        ConfigError: a calibration cannot be used.
    """
    estimated = [one.name for one in settings.servers if not any(serves(one, device) for device in devices)]
    chosen = calibrations_for(settings, estimated)
    for name in estimated:
        if name in chosen:
            log.info("server %s is not metered: its energy is ESTIMATED from %s", name, chosen[name].name)
        else:
            log.warning("server %s is not metered and has no calibration: requests are counted without energy", name)
    return chosen


def _how(device: Device) -> str:
    if device.method == "recorded":
        return f"RECORDED, not measured here and now: {device.origin}"
    if device.method == "estimated":
        return "ESTIMATED, no sensor"
    if device.method == "simulated":
        return "SIMULATED, no hardware"
    return "energy counter" if device.has_counter else "power"
