"""A reply that streams through the gateway while the exporter changes over: nobody who asks or is asked notices."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import ClientSession, web

from exporter.app import Exporter, exporting
from exporter.domain.errors import SourceError
from exporter.domain.settings import ListenAddress, PowerSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import SettledRequest
from exporter.domain.units import Instant
from exporter.power.select import SOURCES, Factory
from exporter.power.source import PowerSource
from tests.e2e.accelerated import AcceleratedClock, Pace
from tests.gateway.servers import SSE, answering
from tests.gateway.test_breaking import free_port
from tests.metering.steady import CPU, GPU, NO_DRIVER, Steady

SPEED = 20.0
PIECE = b'data: {"id": "r1", "choices": [{"text": "x"}]}\n\n'
LAST = b'data: {"id": "r1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\ndata: [DONE]\n\n'


class Server:
    """A server whose answer stops half-way until it may go on."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_go_on = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        answer = web.StreamResponse(headers=SSE)
        await request.read()
        await answer.prepare(request)
        await answer.write(PIECE)
        await self.may_go_on.wait()
        await answer.write(PIECE + LAST)
        return answer


class Machine:
    """A machine whose driver is loaded some time after the start."""

    def __init__(self) -> None:
        begin = time.time()
        self.clock = AcceleratedClock(Pace(begin, SPEED, begin))
        self.driver_is_loaded = False

    def _gpus(self, _settings: PowerSettings, _now: Callable[[], Instant]) -> PowerSource:
        if not self.driver_is_loaded:
            raise NO_DRIVER
        return Steady(GPU, self.clock)

    def _estimate(self, _settings: PowerSettings, _now: Callable[[], Instant]) -> PowerSource:
        return Steady(CPU, self.clock)

    def sources(self) -> dict[str, Factory]:
        return {"nvml": self._gpus, "rapl": _no_zones, "cpu": self._estimate}


def _no_zones(_settings: PowerSettings, _now: Callable[[], Instant]) -> PowerSource:
    raise SourceError("no zones")


async def until(done: Callable[[], object]) -> None:
    while not done():  # noqa: ASYNC110 - what is awaited is the exporter's own polling
        await asyncio.sleep(0.01)


def devices(exporter: Exporter) -> list[str]:
    return [view.device.name for view in exporter.snapshot().devices]


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    async with answering(server.serve) as url:
        yield server, url


async def test_a_reply_that_streams_meanwhile_arrives_whole_and_is_counted_once(
    server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, url = server
    machine, settled, port = Machine(), list[SettledRequest](), free_port()
    for name, factory in machine.sources().items():
        monkeypatch.setitem(SOURCES, name, factory)
    requests = RequestSettings("proxy", options={"upstream": url, "listen": f"127.0.0.1:{port}"})
    settings = Settings(servers=(ServerSettings("chat", (requests,), model="m"),), listen=ListenAddress("127.0.0.1", 0))
    async with (
        asyncio.timeout(20.0),
        ClientSession() as client,
        exporting(settings, machine.clock, on_settled=settled.extend, look_again=True) as exporter,
    ):
        answer = await client.post(f"http://127.0.0.1:{port}/v1/completions", data=b'{"stream": true}')
        told = await answer.content.readexactly(len(PIECE))
        assert devices(exporter) == ["cpu0"]
        machine.driver_is_loaded = True
        await until(lambda: devices(exporter) == ["gpu0"])
        changed_at = machine.clock.now()
        upstream.may_go_on.set()
        told += await answer.content.read()
        await until(lambda: settled)
        [model] = exporter.snapshot().models
        recent = exporter.snapshot().recent
    assert told == PIECE + PIECE + LAST
    assert upstream.asked == 1
    [request] = settled
    assert (request.outcome, request.method, request.output_tokens) == ("ok", "measured", 2)
    assert request.start < changed_at < request.end
    assert set(request.joules_by_device) == {"gpu0"}
    assert sum(model.requests.values()) == model.requests["ok"] == 1
    assert [one.id for one in recent] == [request.id]
