"""The real exporter behind TLS, with a certificate of an authority of one's own, a password, and perhaps more."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from exporter.client import Access
from tests.e2e.web import free_port, wait_until
from tests.server.access.authority import Authority, found

USER, PASSWORD = "trainer", "a password: with a colon"
READY_SECONDS = 30.0
SOURCE_TREE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Guarded:
    """An exporter that lets nobody in who does not show what it asks for. `access`: that."""

    url: str
    authority: Authority
    access: Access

    @property
    def options(self) -> list[str]:
        """The same for a command."""
        named = self.access._asdict().items()
        return [part for name, value in named if value for part in (f"--{name.replace('_', '-')}", str(value))]


@contextmanager
def guarded(folder: Path, tls: Mapping[str, Any] | None = None) -> Iterator[Guarded]:
    """Starts it. `tls`: more of its TLS configuration, in which `AUTHORITY` is the authority's certificate."""
    authority = found(folder)
    pair, password = authority.signs("server"), folder / "password"
    password.write_text(PASSWORD + "\n")
    more = {key: str(authority.pair.certificate) if one == "AUTHORITY" else one for key, one in (tls or {}).items()}
    web = {
        "tls_server_config": {"cert_file": str(pair.certificate), "key_file": str(pair.key), **more},
        "basic_auth_users": {USER: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()},
    }
    (folder / "web.yml").write_text(yaml.safe_dump(web))
    config = {
        "power": {"source": "cpu"},
        "servers": [{"name": "train", "requests": {"source": "push"}}],
        "web": {"config_file": str(folder / "web.yml")},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    access = Access(user=USER, password_file=password, ca_file=authority.pair.certificate)
    with _running(folder / "config.yaml") as address:
        yield Guarded(f"https://{address}", authority, access)


@contextmanager
def _running(config: Path) -> Iterator[str]:
    address, errors = f"127.0.0.1:{free_port()}", config.parent / "stderr"
    command = [sys.executable, "-m", "exporter", "run", "--config", str(config), "--listen", address]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCE_TREE)}
    with errors.open("wb") as log, subprocess.Popen(command, stderr=log, env=environment) as process:
        try:
            wait_until(lambda: _listens(address) or process.poll() is not None, READY_SECONDS, "the exporter listens")
            assert process.poll() is None, errors.read_text()
            yield address
        finally:
            process.kill()


def _listens(address: str) -> bool:
    from socket import create_connection  # noqa: PLC0415 - only here

    host, _, port = address.partition(":")
    try:
        create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True
