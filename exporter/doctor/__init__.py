"""The command `doctor`: find out what works on this machine and what does not, before its user does.

    machine    what this program runs on, and whether its clock can be right
    power      each source is tried; the one to be used is watched for two seconds through the real sampler and meter
    tuning     whether a tuner has left a device changed
    servers    each log is looked for, and its end read by the real reader, and by the others where that one is lost
    estimates  which servers are estimated rather than metered, and from what
    state      whether the books can be kept
    listening  whether the port can be had, and who may ask there

Each is a module that returns findings, frozen values; `rendering` alone turns them into text. Nothing here changes
anything: no file is created, no device set, and nothing that a log says is shown.
"""

from collections.abc import Iterator
from typing import TextIO

from exporter.clock import SystemClock
from exporter.doctor import estimates, listening, machine, power, rendering, servers, state, tuning, web
from exporter.doctor.finding import Finding
from exporter.domain.settings import Settings
from exporter.metering.opening import sources_for


def run(settings: Settings, out: TextIO) -> int:
    """Examine this machine for these settings and write what was found.

    Returns:
        The exit code: 0, or 1 where something must be mended.
    """
    findings: list[Finding] = []
    for section in examine(settings, SystemClock()):
        rendering.write_section(section, out)
        findings += section
    rendering.write_conclusion(findings, out)
    return int(any(finding.verdict == "fail" for finding in findings))


def examine(settings: Settings, clock: SystemClock) -> Iterator[tuple[Finding, ...]]:
    """What is found, a section at a time, for watching power takes a moment."""
    yield machine.examine(clock)
    calibrated = bool(settings.servers) and all(server.calibration is not None for server in settings.servers)
    sources = sources_for(settings.power)
    metering = power.examine(settings.power, clock, calibrated=calibrated, sources=sources)
    yield (*metering.findings, *tuning.examine())
    now = clock.now()
    logs = servers.examine(settings.servers, metering.devices, now, settings.listen, web.scheme_of(settings.web))
    yield (*logs, *(estimates.examine(settings, metering.devices, now) if metering.works else ()))
    yield state.examine(settings.state_dir)
    yield (*listening.examine(settings.listen), *web.examine(settings.web, settings.listen, now))
