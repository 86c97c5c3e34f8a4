"""What the gateway costs: added latency, requests and streamed events a second, beside other proxies on this machine.

    python -m tests.bench.gateway [--quick] [--litellm PROGRAM] [--rounds N]

One synthetic server (tests/bench/served.py), one client process, and between them nothing, our gateway, nginx (where it
is installed, one worker, without buffering), and LiteLLM's proxy (where its program is named, one worker, no database):
each in a process of its own, one after the other, round after round, so that all have the same share of other work on
this machine. Figures are medians over the rounds. Nothing is thought about in the server, so each figure is the most
that a proxy can do, and the latency added is the median over requests of one client, less that of the direct way.
"""

import argparse
import asyncio
import multiprocessing
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from exporter.clock import SystemClock
from exporter.domain.settings import TenantSettings
from exporter.feeds.inbox import Inbox
from exporter.gateway import open_gateway
from exporter.requests.posted.proxied import check
from tests.bench.served import EVENTS, Load, Measured, put_on, serve

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 90.0

_process = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Length:
    """How long each part takes."""

    seconds: float = 4.0
    rounds: int = 5
    crowds: tuple[int, ...] = (1, 16, 64)


QUICK = Length(0.1, 1, (1, 2))

Way = Callable[[int, ExitStack], int]
"""Starts a proxy before the server at a port, to be ended with the stack; gives the proxy's port."""


# The ways from the client to the server


def direct(upstream: int, stack: ExitStack) -> int:  # noqa: ARG001 - a way as any other
    """No proxy."""
    return upstream


def gateway(upstream: int, stack: ExitStack) -> int:
    """Ours, with its books, which are read as the exporter reads them."""
    return stack.enter_context(_child(_run_gateway, upstream))


def nginx(upstream: int, stack: ExitStack) -> int:
    """As one would set it up in front of a model server."""
    folder, port = Path(stack.enter_context(TemporaryDirectory())), _free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"upstream server {{ server 127.0.0.1:{upstream}; keepalive 256; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=1024; keepalive_requests 100000000;\n"
        "location / { proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection '';\n"
        "proxy_buffering off; proxy_request_buffering off; } } }\n"
    )
    _program(stack, ["nginx", "-c", str(config), "-e", f"{folder}/start.log"], port)
    return port


def litellm(program: str) -> Way:
    """LiteLLM's proxy by its program."""

    def start(upstream: int, stack: ExitStack) -> int:
        folder, port = Path(stack.enter_context(TemporaryDirectory())), _free_port()
        config = folder / "litellm.yaml"
        config.write_text(
            "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n"
            f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: none\n"
            "general_settings: {master_key: sk-bench}\n"
        )
        words = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        _program(stack, words, port)
        return port

    return start


def _program(stack: ExitStack, words: Sequence[str], port: int) -> None:
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        running.terminate()
        running.wait(20)

    stack.callback(end)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        if running.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"{words[0]} does not serve")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


# Processes of our own


@contextmanager
def _child(run: Callable[..., None], *arguments: object) -> Iterator[int]:
    """Something that serves, in a process of its own: it tells its port and ends when the pipe does."""
    here, there = _process.Pipe()
    child = _process.Process(target=run, args=(there, *arguments), daemon=True)
    child.start()
    there.close()
    try:
        yield here.recv()
    finally:
        here.close()
        child.join(10)
        child.kill()


def _run_server(pipe: Connection) -> None:
    async def run() -> None:
        server, port = await serve()
        pipe.send(port)
        await _until_closed(pipe)
        server.close()

    asyncio.run(run())


def _run_gateway(pipe: Connection, upstream: int) -> None:
    async def run() -> None:
        inbox, clock = Inbox("bench", ends_with_us=True), SystemClock()
        options = check({"upstream": f"http://127.0.0.1:{upstream}", "listen": "127.0.0.1:0"}, None)
        tenant = TenantSettings(api_key=True)
        opened = await open_gateway("bench", options, tenant, inbox, clock.now, fault=lambda _: None)
        pipe.send(int(opened.url.rpartition(":")[2]))
        closed = asyncio.create_task(_until_closed(pipe))
        while not closed.done():
            await asyncio.sleep(_POLL_SECONDS)
            inbox.poll(clock.now(), 0.0)
        await opened.close(grace_seconds=0.0)

    asyncio.run(run())


async def _until_closed(pipe: Connection) -> None:
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
    await closed.wait()
    asyncio.get_running_loop().remove_reader(pipe.fileno())


def _run_client(pipe: Connection, port: int, load: Load) -> None:
    pipe.send(asyncio.run(put_on(port, load)))


def _measure(port: int, load: Load) -> Measured:
    here, there = _process.Pipe()
    child = _process.Process(target=_run_client, args=(there, port, load), daemon=True)
    child.start()
    there.close()
    try:
        measured = here.recv()
    finally:
        child.join(10)
    assert isinstance(measured, Measured)
    if measured.failed:
        raise RuntimeError(f"{measured.failed} requests failed")
    return measured


# The table


@dataclass(frozen=True, slots=True)
class Row:
    """One way's figures: seconds, and so many a second."""

    p50: float
    p99: float
    requests: tuple[float, ...]
    events: float


def rows(ways: Mapping[str, Way], length: Length) -> dict[str, Row]:
    """Measure every way, round after round."""
    with ExitStack() as stack:
        upstream = stack.enter_context(_child(_run_server))
        ports = {name: way(upstream, stack) for name, way in ways.items()}
        rounds = [{name: _row(port, length) for name, port in ports.items()} for _ in range(length.rounds)]
    return {name: _median([one[name] for one in rounds]) for name in ways}


def _row(port: int, length: Length) -> Row:
    plain = [_measure(port, Load(False, clients, length.seconds)) for clients in length.crowds]  # noqa: FBT003
    streamed = _measure(port, Load(True, max(length.crowds), length.seconds))  # noqa: FBT003
    alone = plain[0]
    return Row(
        alone.percentile(0.5), alone.percentile(0.99), tuple(one.a_second for one in plain), streamed.a_second * EVENTS
    )


def _median(many: Sequence[Row]) -> Row:
    return Row(
        median(one.p50 for one in many),
        median(one.p99 for one in many),
        tuple(median(counts) for counts in zip(*(one.requests for one in many), strict=True)),
        median(one.events for one in many),
    )


def table(measured: Mapping[str, Row], crowds: Sequence[int]) -> Iterator[str]:
    """Lines of Markdown."""
    counts = [f"requests/s, {clients} client{'s' if clients > 1 else ''}" for clients in crowds]
    heads = ["way", "added p50", "added p99", *counts, f"streamed events/s, {max(crowds)} clients"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    straight = measured["direct"]
    for name, row in measured.items():
        added = [
            f"{1e3 * (mine - theirs):.2f} ms" for mine, theirs in ((row.p50, straight.p50), (row.p99, straight.p99))
        ]
        shown = added if row is not straight else [f"({1e3 * one:.2f} ms)" for one in (row.p50, row.p99)]
        yield f"| {' | '.join([name, *shown, *(f'{one:,.0f}' for one in (*row.requests, row.events))])} |"


def main() -> None:
    """Measure what is here, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--litellm", metavar="PROGRAM", help="LiteLLM's proxy, in an environment of its own")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    given = parser.parse_args()
    length = QUICK if given.quick else Length(rounds=given.rounds or Length().rounds)
    ways: dict[str, Way] = {"direct": direct, "gateway": gateway}
    if shutil.which("nginx"):
        ways["nginx"] = nginx
    if given.litellm:
        ways["LiteLLM"] = litellm(given.litellm)
    for line in table(rows(ways, length), length.crowds):
        print(line)


if __name__ == "__main__":
    main()
