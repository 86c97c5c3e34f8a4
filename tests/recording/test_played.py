"""The whole exporter on power that is played from the recording that ships, and what its users see of it."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.app import exporting
from exporter.demo.shipped import FOLDER
from exporter.domain.readings import Device, worst_method
from exporter.domain.settings import (
    ListenAddress,
    PlayedRecording,
    PowerSettings,
    RequestSettings,
    ServerSettings,
    Settings,
)
from exporter.domain.snapshot import Snapshot
from exporter.ledger.durable import identity
from exporter.recording.source import OVER
from tests.e2e.accelerated import AcceleratedClock, Pace
from tests.recording.recorded import replayed
from tests.test_engine import FIELDS, write

SHIPPED = FOLDER / "cpu.jsonl.gz"
SPEED = 60.0


async def watched(log: Path) -> tuple[Snapshot, str, str]:
    """The final books of a session as long as the recording, and what `/metrics` and the page said near its end."""
    requests = RequestSettings("jsonl", path=(str(log),), start_at="beginning", options=FIELDS)
    settings = Settings(
        servers=(ServerSettings("chat", (requests,), model="m"),),
        listen=ListenAddress("127.0.0.1", 0),
        power=PowerSettings(("recording",), interval_seconds=0.5, recording=PlayedRecording(str(SHIPPED))),
    )
    begin = time.time()
    clock = AcceleratedClock(Pace(begin, SPEED, begin))
    async with exporting(settings, clock) as exporter:
        await asyncio.sleep(clock.real(60.0))
        write(log, "r", clock.now() - 10.0, clock.now() - 5.0)
        await asyncio.sleep(clock.real(40.0))
        async with aiohttp.ClientSession() as session:
            said = [await (await session.get(f"{exporter.url}{path}")).text() for path in ("/metrics", "/")]
        await asyncio.sleep(clock.real(35.0))
        return await exporter.finish(), said[0], said[1]


@pytest.mark.e2e
async def test_a_session_on_a_recording_meters_what_was_metered_then_and_says_everywhere_that_it_is_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "log").touch()
    books, metrics, page = await watched(tmp_path / "log")
    (device,) = books.devices
    then = replayed(SHIPPED).snapshot(books.at).devices[0]
    assert device.metered_joules == pytest.approx(then.metered_joules, rel=1e-6)
    assert sum(device.booked.values()) == pytest.approx(device.metered_joules, rel=1e-9)
    assert set(device.failures) == {OVER}
    assert [(one.id, one.method) for one in books.recent] == [("r", "recorded")]
    assert books.recent[0].joules > 0.0

    samples = [one for family in text_string_to_metric_families(metrics) for one in family.samples]
    assert {one.labels["method"] for one in samples if "method" in one.labels} == {"recorded"}
    assert {one.labels["source"] for one in samples if one.name == "llm_power_source_info"} == {"recording"}
    assert {one.labels["name"] for one in samples if "device" in one.labels and "name" in one.labels} == {
        "CPU (estimated) (recorded)"
    }
    assert "<title>RECORDED: " in page
    assert "cpu0 is played from a recording (2026-11-21; AMD EPYC, 2 cores; ESTIMATED then)" in page
    assert "RECORDED, not measured here and now: 2026-11-21; AMD EPYC, 2 cores; ESTIMATED then" in caplog.text


def test_what_mixes_recorded_and_other_energy_is_recorded() -> None:
    devices = [Device("gpu0", "gpu"), Device("gpu1", "gpu", method="recorded")]
    assert worst_method(devices) == "recorded"
    assert worst_method([*devices, Device("cpu0", "cpu", method="estimated")]) == "recorded"


def test_what_is_played_never_goes_on_in_the_books_of_the_device_itself() -> None:
    assert identity(Device("gpu0", "gpu", uuid="GPU-1", method="recorded")) != identity(
        Device("gpu0", "gpu", uuid="GPU-1")
    )
