"""A start that fails leaves nothing open: no power source, no log, no state."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter import app
from exporter.app import assemble, exporting
from exporter.clock import SystemClock
from exporter.domain.errors import ConfigError, ListenError, SourceError, StateError
from exporter.domain.readings import Device, Reading
from exporter.domain.settings import ListenAddress, ServerSettings, Settings
from exporter.feeds.inbox import Inbox
from exporter.feeds.opening import Feeds
from exporter.power.select import Chosen, Opened
from exporter.state import StateStore


class Power:
    """A power source for a GPU that no server uses; says whether it is closed."""

    devices: Sequence[Device] = (Device("gpu0", "gpu", uuid="GPU-1"),)
    closed = False

    def read(self) -> Sequence[Reading]:
        return ()

    def close(self) -> None:
        self.closed = True


class Told(Inbox):
    """A feed that says whether it is closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Everything is in order but the calibration."""
    (tmp_path / "state").mkdir()
    calibration = tmp_path / "calibration.json"
    calibration.write_text("{}")
    server = ServerSettings("chat", (), gpus=("7",), calibration=str(calibration))
    return Settings(servers=(server,), state_dir=str(tmp_path / "state"))


def test_a_wrong_calibration_closes_sources_feeds_and_state(settings: Settings, tmp_path: Path) -> None:
    power, told = Power(), Told("chat")
    with pytest.raises(ConfigError, match="calibration"):
        assemble(settings, [Opened(power, "fake")], SystemClock(), feeds=Feeds([told]))
    assert power.closed
    assert told.closed
    StateStore.open(tmp_path / "state").close()  # nobody owns it


def test_a_state_that_somebody_else_owns_closes_sources_and_feeds(settings: Settings, tmp_path: Path) -> None:
    power, told, owner = Power(), Told("chat"), StateStore.open(tmp_path / "state")
    with pytest.raises(StateError, match="in use"):
        assemble(settings, [Opened(power, "fake")], SystemClock(), feeds=Feeds([told]))
    owner.close()
    assert power.closed
    assert told.closed


async def test_power_that_cannot_be_opened_closes_the_feeds(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Sequence[Opened]:
        raise SourceError("no power here")

    told = Told("chat")
    monkeypatch.setattr(app, "open_feeds", lambda _servers: Feeds([told]))
    with pytest.raises(SourceError):
        async with exporting(settings, open_power=refuse):
            pass
    assert told.closed


async def test_a_port_that_is_taken_closes_sources_and_state(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    power = Power()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        here = ListenAddress("127.0.0.1", taken.getsockname()[1])
        settings = Settings(listen=here, state_dir=str(tmp_path / "state"))
        with pytest.raises(ListenError):
            async with exporting(settings, open_power=lambda *_: [Opened(power, "fake")]):
                pass
    assert power.closed
    StateStore.open(tmp_path / "state").close()  # nobody owns it


@pytest.mark.parametrize("look_again", [False, True])
async def test_only_who_asks_for_it_has_sources_that_were_passed_over_looked_for(
    monkeypatch: pytest.MonkeyPatch, *, look_again: bool
) -> None:
    passed_over = {"nvml": SourceError("no driver")}
    monkeypatch.setattr(app, "open_sources", lambda *_: Chosen((Opened(Power(), "fake"),), passed_over=passed_over))
    looked_for: list[object] = []

    def look(*given: object) -> "asyncio.Task[None]":
        looked_for.append(given[-1])
        return asyncio.create_task(asyncio.sleep(0))

    monkeypatch.setattr(app, "_look_again", look)
    async with exporting(Settings(listen=ListenAddress("127.0.0.1", 0)), look_again=look_again):
        pass
    assert looked_for == ([passed_over] if look_again else [])
