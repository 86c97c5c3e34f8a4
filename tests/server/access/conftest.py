"""An exporter's listener as the web configuration file has it, asked by a real client."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import yaml

from exporter.domain.settings import ListenAddress, ProbeAccess
from exporter.server import build, serve
from exporter.server.access import Doors, InForce
from tests.metrics.examples import published
from tests.server.access.authority import OPENSSL, Authority, Pair, found

PASSWORD = "correct horse"  # noqa: S105 - it is not one
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@dataclass(frozen=True)
class Listener:
    """What listens."""

    url: str
    doors: Doors
    in_force: InForce

    async def get(self, path: str, tls: ssl.SSLContext | None = None, **options: Any) -> tuple[int, str, Any]:
        """Status, body and headers of an answer, each over a connection of its own."""
        connector = aiohttp.TCPConnector(ssl=tls) if tls is not None else aiohttp.TCPConnector()
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(options.pop("method", "GET"), self.url + path, **options) as answer,
        ):
            return answer.status, await answer.text(), answer.headers


@asynccontextmanager
async def listening(file: Path, probes: ProbeAccess = "open") -> AsyncIterator[Listener]:
    """Serve by this web configuration file."""
    in_force = InForce(file, must_show=probes == "closed")
    doors = Doors(in_force, probes_open=probes == "open")
    app = build(published, lambda: True)
    doors.guard(app)
    runner = await serve(app, ListenAddress("127.0.0.1", 0), in_force.tls())
    try:
        scheme = "https" if in_force.loaded.context is not None else "http"
        yield Listener(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}", doors, in_force)
    finally:
        await runner.cleanup()


def written(folder: Path, content: Any) -> Path:
    """The web configuration file."""
    file = folder / "web.yml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def trusting(authority: Authority, shown: Pair | None = None) -> ssl.SSLContext:
    """A client that trusts this authority, with a certificate of its own or without."""
    context = ssl.create_default_context(cafile=str(authority.pair.certificate))
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if OPENSSL is None:
        pytest.skip("the openssl command is not installed")
    return found(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def server_pair(authority: Authority) -> Pair:
    return authority.signs("server")


@pytest.fixture(scope="session")
def client_pair(authority: Authority) -> Pair:
    return authority.signs("client", san="DNS:prometheus.example,URI:spiffe://here/scraper", usage="clientAuth")


def over_tls(pair: Pair, **more: Any) -> dict[str, Any]:
    """`tls_server_config` with this certificate."""
    return {"cert_file": str(pair.certificate), "key_file": str(pair.key), **more}


def basic(name: str, password: str) -> dict[str, str]:
    """The header that shows them."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
