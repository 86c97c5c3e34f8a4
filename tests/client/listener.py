"""Something that listens where an exporter should, and answers what a test says."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any
from urllib.parse import unquote

from exporter.client import Clocks, EnergyClient

ALL_WELL = (200, {"accepted": 1, "duplicates": 0, "rejected": []})
Said = tuple[int, Any]


class Listener(ThreadingHTTPServer):
    """Hears what is posted.

    Attributes:
        answers: to the next posts; all is well once they are used up.
        receipts: answered to who asks for an id. others: answered for any other id.
        hanging: posts wait for it to be set before they are answered.
        posts: lines of each post. headers: of each post.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answers: list[Said] = []
        self.receipts: dict[str, Any] = {}
        self.others: Said = (404, {"error": "no request with this id", "hint": ""})
        self.hanging = threading.Event()
        self.hanging.set()
        self.posts: list[list[dict[str, Any]]] = []
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.taken: list[socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All that were posted, one by one."""
        return [line for post in self.posts for line in post]

    @property
    def wholes(self) -> list[dict[str, Any]]:
        """Those of them that tell of windows that are over."""
        return [line for line in self.lines if "event" not in line]

    def starts(self) -> Sequence[str]:
        """Ids whose start was told."""
        return [line["id"] for line in self.lines if line.get("event") == "start"]

    def get_request(self) -> tuple[socket, Any]:
        """Take a connection, to be cut with all others at the end."""
        taken, address = super().get_request()
        self.taken.append(taken)
        return taken, address

    def cut(self) -> None:
        """Cut what clients keep open, as an exporter that ends does."""
        for one in self.taken:
            with suppress(OSError):
                one.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the test."""


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers.append(dict(self.headers))
        self.server.paths.append(self.path)
        self.server.hanging.wait(20)
        self.server.posts.append([json.loads(line) for line in body.decode().split("\n")])
        self._answer(self.server.answers.pop(0) if self.server.answers else ALL_WELL)

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        if self.path == "/api/v1/requests":
            return self._answer((200, {"at": 0, "requests": list(self.server.receipts.values())}))
        id_ = unquote(self.path.removeprefix("/api/v1/requests/"))
        found = self.server.receipts.get(id_)
        return self._answer(self.server.others if found is None else (200, found))

    def _answer(self, said: Said) -> None:
        status, value = said
        is_text = isinstance(value, str)
        body = value.encode() if is_text else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if is_text else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def listening(port: int = 0) -> Iterator[Listener]:
    with Listener(port) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield listener
        finally:
            listener.hanging.set()
            listener.shutdown()
            listener.cut()
            thread.join()


class Hand:
    """A clock whose hand a test moves: wall and steady clock go together unless they are set apart."""

    def __init__(self, at: float = 1_000.0) -> None:
        self.at = at
        self.set_ahead = 0.0

    def move(self, seconds: float) -> None:
        self.at += seconds

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.at + self.set_ahead, lambda: self.at)


def receipt(id_: str, joules: float | None = 10.0, **changes: Any) -> dict[str, Any]:
    """As the exporter tells one."""
    return {
        "id": id_,
        "duration_seconds": 2.0,
        "concurrency": 1.0,
        "method": "measured" if joules is not None else None,
        "energy_joules": joules,
        "interval": None,
        "energy_joules_by_device": {} if joules is None else {"gpu0": joules},
        "late_joules": 0.0,
    } | changes


def client_of(listener: Listener, hand: Hand | None = None, **settings: Any) -> EnergyClient:
    return EnergyClient(listener.url, clocks=None if hand is None else hand.clocks, **settings)
