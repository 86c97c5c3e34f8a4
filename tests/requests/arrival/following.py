"""A Kubernetes arrival that is polled in a real loop, by a clock under the test's control."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from exporter.domain.lines import Line
from exporter.domain.settings import KubernetesLog
from exporter.domain.units import Instant
from exporter.requests.arrival.kubernetes.logs import KubernetesLogs
from exporter.requests.arrival.kubernetes.podlog import Pace
from tests.requests.arrival.api_server import ApiServer

QUICK = Pace(first=0.002, longest=0.02, relist=0.02, quiet=1.0, random=lambda: 0.5)
"""Waits are real, `quiet` is by the test's clock: ten polls."""

_PATIENCE_SECONDS = 30.0


class Following:
    """Polls 0.1 s apart by its own clock, as fast as the loop allows by the real one."""

    def __init__(self, settings: KubernetesLog, **options: Any) -> None:
        self._settings = settings
        self._options = {"pace": QUICK, "start_at": "beginning", **options}
        self.arrival = KubernetesLogs(self._settings, **self._options)
        self.now = 1_767_268_900.0
        self.lines: list[Line] = []

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    async def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 0.1
            self.lines += self.arrival.poll(Instant(self.now), 0.0)
            await asyncio.sleep(0.001)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not true():
                await self.poll()

    async def until_lines(self, count: int) -> None:
        await self.until(lambda: len(self.lines) >= count)

    def restart(self) -> None:
        saved = json.loads(json.dumps(self.arrival.snapshot()))
        self.arrival.close()
        self.arrival = KubernetesLogs(self._settings, **self._options)
        self.arrival.restore(saved)


@asynccontextmanager
async def served() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def following(server: ApiServer, *, token_file: Path | None = None, **options: Any) -> AsyncIterator[Following]:
    log = {key: options.pop(key) for key in ("pod", "selector", "node", "container") if key in options} or {
        "pod": "llm"
    }
    settings = server.settings(**log, token_file=str(token_file) if token_file else None)
    one = Following(settings, **options)
    try:
        yield one
    finally:
        one.arrival.close()
        await asyncio.sleep(0.005)
