from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.domain.health import Published
from exporter.server import build
from tests.metrics.examples import published

Client = TestClient[Any, Any]


class Exporter:
    """What the server asks, to be changed by a test."""

    def __init__(self) -> None:
        self.state: Published = published()
        self.is_ready = True
        self.faults: list[str] = []
        self.asked = 0

    def published(self) -> Published:
        self.asked += 1
        return self.state

    def ready(self) -> bool:
        return self.is_ready


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@pytest.fixture
async def client(exporter: Exporter) -> Any:
    server = TestServer(build(exporter.published, exporter.ready, exporter.faults.append))
    async with TestClient(server, auto_decompress=False, skip_auto_headers=("Accept-Encoding",)) as connected:
        yield connected
