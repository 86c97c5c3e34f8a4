"""A dcgm-exporter: boards that draw known power, collected every so often, on a page as the real one writes it.

The page is rendered after the templates of NVIDIA/dcgm-exporter (families in random order there, sorted here).
"""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Literal

BLANK = "9223372036854775794"
"""DCGM's INT64 that says `not supported`, as older releases printed it."""

Names = Literal["usual", "new", "old"]
"""Those of the CSV that is shipped; DCGM's own of today, for a CSV that has them; those of `--use-old-namespace`."""

_ENERGY: Mapping[Names, tuple[str, float]] = {
    "usual": ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 1e3),
    "new": ("DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL", 1.0),
    "old": ("dcgm_total_energy_consumption", 1e3),
}
_POWER: Mapping[Names, str] = {
    "usual": "DCGM_FI_DEV_POWER_USAGE",
    "new": "DCGM_FI_DEV_BOARD_POWER_WATTS",
    "old": "dcgm_power_usage",
}


@dataclass(frozen=True)
class FakeBoard:
    """A GPU of the page.

    Attributes:
        joules: its energy counter at an instant of the fake's clock; None: it has none.
        watts: its power; None: it is not told.
        instances: of MIG, by id; each repeats the board's rows.
        pods: (namespace, pod) of each container that it was given to.
    """

    index: int = 0
    uuid: str = "GPU-604ac76c-d9cf-fef3-62e9-d92044ab6e52"
    bus: str = "00000000:1B:00.0"
    model: str = "NVIDIA H100 80GB HBM3"
    host: str = "node-1"
    joules: Callable[[float], float] | None = lambda at: 5e6 + 300.0 * at
    watts: Callable[[float], float | str] | None = lambda at: 300.0 + 0.01 * (at % 7.0)
    instances: Sequence[str] = ()
    pods: Sequence[tuple[str, str]] = ()


@dataclass
class FakeDcgm:
    """The exporter: what `page` says changes when it collects.

    Attributes:
        time: the fake's clock.
        collect: seconds between collections; the first is at `phase`.
        down: answers nothing. closes: ends each connection after one answer.
        silent: has collected nothing yet. frozen_at: has collected nothing since.
    """

    time: Callable[[], float]
    boards: list[FakeBoard] = field(default_factory=lambda: [FakeBoard()])
    collect: float = 30.0
    phase: float = 0.0
    names: Names = "usual"
    down: bool = False
    closes: bool = False
    silent: bool = False
    frozen_at: float | None = None
    status: int = 200
    asked: int = 0
    connections: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None

    def page(self) -> str:
        """As it answers now."""
        if self.text is not None:
            return self.text
        now = self.time() if self.frozen_at is None else min(self.time(), self.frozen_at)
        return render([] if self.silent else self.boards, collected(now, self.collect, self.phase), self.names)

    def replace(self, index: int, **changes: object) -> None:
        """Change a board."""
        self.boards[index] = replace(self.boards[index], **changes)  # type: ignore[arg-type]


def collected(at: float, collect: float, phase: float = 0.0) -> float:
    """The instant of the latest collection."""
    return (at - phase) // collect * collect + phase


def render(boards: Sequence[FakeBoard], at: float, names: Names = "usual") -> str:
    """The page of a collection made at that instant."""
    energy, unit = _ENERGY[names]
    rows: dict[str, list[str]] = {
        "DCGM_FI_DEV_SM_CLOCK": [],
        energy: [],
        _POWER[names]: [],
        "DCGM_FI_DEV_XID_ERRORS": [],
    }
    for board in boards:
        for labels in _labels(board, names):
            rows["DCGM_FI_DEV_SM_CLOCK"].append(f"{{{labels}}} 1980")
            rows["DCGM_FI_DEV_XID_ERRORS"].append(f"{{{labels}}} 0")
            if board.joules is not None:
                rows[energy].append(f"{{{labels}}} {board.joules(at) * unit:.0f}")
            if board.watts is not None:
                watts = board.watts(at)
                rows[_POWER[names]].append(f"{{{labels}}} {watts if isinstance(watts, str) else f'{watts:.6f}'}")
    return (
        "".join(
            f"# HELP {name} As DCGM counts it.\n# TYPE {name} {'counter' if name == energy else 'gauge'}\n"
            + "".join(f"{name}{row}\n" for row in told)
            for name, told in rows.items()
            if told
        )
        or "# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).\n# TYPE DCGM_FI_DEV_SM_CLOCK gauge\n"
    )


def _labels(board: FakeBoard, names: Names) -> Iterator[str]:
    uuid = "uuid" if names == "old" else "UUID"
    driver = "DCGM_FI_SYSTEM_DRIVER_VERSION" if names == "new" else "DCGM_FI_DRIVER_VERSION"
    pod = (
        'container_name="vllm",pod_namespace="{}",pod_name="{}"'
        if names == "old"
        else ('container="vllm",namespace="{}",pod="{}"')
    )
    for instance in board.instances or ("",):
        for space, name in board.pods or (("", ""),):
            yield (
                f'gpu="{board.index}",{uuid}="{board.uuid}",pci_bus_id="{board.bus}",device="nvidia{board.index}",'
                f'modelName="{board.model}"'
                + (f',GPU_I_PROFILE="1g.10gb",GPU_I_ID="{instance}"' if instance else "")
                + (f',Hostname="{board.host}"' if board.host else "")
                + f',{driver}="570.86.15"'
                + (f",{pod.format(space, name)}" if name else "")
            )


@contextmanager
def serving(fake: FakeDcgm, certificate: Path | None = None) -> Iterator[str]:
    """Serve its page; yields the URL. With a certificate (PEM with its key) over TLS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: two would wait for each other's acknowledgement

        def setup(self) -> None:
            super().setup()
            fake.connections += 1

        def do_GET(self) -> None:
            fake.asked += 1
            fake.headers = dict(self.headers)
            if fake.down:
                self.close_connection = True
                return
            body = fake.page().encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(body)))
            if fake.closes:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{'http' if certificate is None else 'https'}://localhost:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
