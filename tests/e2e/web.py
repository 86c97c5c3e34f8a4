"""HTTP to programs on this machine, and patience with them."""

import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode, urlsplit


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(url: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> str:
    """The body of a successful answer."""
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1", "tests talk to this machine only"
    connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{urlencode(query or {})}", headers=dict(headers or {}))
        response = connection.getresponse()
        body = response.read().decode()
        assert response.status == HTTPStatus.OK, f"{url}: {response.status}"
        return body
    finally:
        connection.close()


def answers(url: str) -> bool:
    """Whether somebody answers there, and with success."""
    try:
        get(url)
    except (OSError, HTTPException, AssertionError):
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Asks again and again; fails saying `what` was waited for in vain."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s still not: {what}"
        time.sleep(0.1)
