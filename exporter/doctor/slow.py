"""Sensors that another program collects for us, and seldom."""

from collections.abc import Iterator

from exporter.doctor import words
from exporter.doctor.finding import Finding
from exporter.doctor.probe import Measured
from exporter.power.dcgm.source import FIELDS_HINT

_SHORT_SECONDS = 5.0
"""Collected so often, a sensor tells of most requests."""


def examine(measured: Measured) -> Iterator[Finding]:
    """What it means for requests that this device says something new so seldom. Nothing is said of quick ones."""
    device = measured.device
    if not device.period_seconds:
        return
    name, seen = f"{device.name} pace", measured.period_seconds
    period = seen or device.period_seconds
    told = "is collected every" if seen else "may be collected as seldom as every"
    if period > _SHORT_SECONDS:
        yield Finding(
            "Power",
            name,
            "warn",
            f"{told} {words.duration(period)}: shorter requests get their share of what was collected around them",
            "have dcgm-exporter collect each second (--collect-interval 1000, or DCGM_EXPORTER_INTERVAL=1000; in ms) "
            "and set power.dcgm.collect_interval: 1s",
        )
    else:
        yield Finding("Power", name, "ok", f"{told} {words.duration(period)}")
    if not device.has_counter:
        text = f"no energy on the page: joules are made of power sampled every {words.duration(period)}, which is poor"
        yield Finding("Power", f"{device.name} energy", "warn", text, FIELDS_HINT)
