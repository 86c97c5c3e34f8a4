"""Which servers are estimated rather than metered, from what, and what is missing for it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from exporter.config.calibrations import calibrations_for
from exporter.doctor.finding import Finding
from exporter.domain.errors import ConfigError
from exporter.domain.readings import Device
from exporter.domain.settings import ServerSettings, Settings
from exporter.domain.units import Instant
from exporter.pipeline.server import serves
from exporter.proxy.calibration.calibration import Calibration
from exporter.proxy.calibration.cautions import cautions

_HOW = (
    "where this model is metered, `llm-energy-exporter calibrate export` writes a calibration: name its file as this "
    "server's `calibration`"
)


def examine(settings: Settings, devices: Sequence[Device], now: Instant) -> tuple[Finding, ...]:
    """Look at every server that nothing meters, and at every calibration."""
    estimated = [one.name for one in settings.servers if not any(serves(one, device) for device in devices)]
    try:
        chosen = calibrations_for(settings, estimated)
    except ConfigError as error:
        where, _, fix = error.problem.partition("; ")
        text = f"{error.path}: {where}, so the exporter will not start"
        return (Finding("Servers", "calibration", "fail", text, fix or "name one of them"),)
    return tuple(
        finding
        for server in settings.servers
        for finding in _server(server, chosen.get(server.name), now, metered=server.name not in estimated)
    )


def _server(server: ServerSettings, found: Calibration | None, now: Instant, *, metered: bool) -> Iterator[Finding]:
    if metered and server.calibration is not None:
        text = f"{server.name} is metered, so {server.calibration} is not used; it would be with power.source: none"
        yield Finding("Servers", "calibration", "note", text)
    elif not metered and found is not None:
        yield _estimated(server, found, now)
    elif not metered:
        text = f"nothing meters {server.name} and it has no calibration: requests are counted and have no energy"
        yield Finding("Servers", "estimate", "warn", text, _HOW + _hint(server))


def _estimated(server: ServerSettings, found: Calibration, now: Instant) -> Finding:
    doubts = tuple(cautions(found, datetime.fromtimestamp(now, UTC)))
    text = f"nothing meters {server.name}: its joules are ESTIMATED from {found.name}, learned {found.date}"
    if not doubts:
        return Finding("Servers", "estimate", "ok", text)
    fix = "nothing must be done; a calibration without these flaws makes better estimates"
    return Finding("Servers", "estimate", "warn", text, fix, tuple(f"but {doubt}" for doubt in doubts))


def _hint(server: ServerSettings) -> str:
    return (
        "" if server.model is not None else "; one that was imported is found only where `model` is fixed, not `auto`"
    )
