"""What an energy window costs the program that opens it.

    python -m tests.bench.windows [--quick]

Each window is timed by itself, from before it is made until it is closed, one every millisecond, as a loop with some
work in it would: so the thread that tells of them gets its turn, and its share of the interpreter is in the figures.
`back to back` leaves no time between them, which is more than can be told: windows are lost then, and counted. What
listens is a process of its own that reads and answers at once.
"""

import argparse
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles

from exporter.client import EnergyClient
from tests.client.listener import Listener

_process = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Length:
    """How much is measured."""

    windows: int = 5_000
    back_to_back: int = 20_000


QUICK = Length(20, 20)

Work = Callable[[EnergyClient], None]


def window(client: EnergyClient) -> None:
    """The plain case."""
    with client.window("step", model="m"):
        pass


def nested(client: EnergyClient) -> None:
    """One inside another: two windows."""
    with client.window("outer", model="m"), client.window("inner", model="m"):
        pass


def timed(client: EnergyClient, work: Work, count: int, *, pause_seconds: float = 1e-3) -> list[float]:
    """Seconds that each of these took, by the clock on the wall."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work(client)
        taken.append(time.perf_counter() - began)
        if pause_seconds:
            time.sleep(pause_seconds)
    return taken


@contextmanager
def answering() -> Iterator[str]:
    """Somebody who answers, in a process of its own; gives the URL."""
    here, there = _process.Pipe()
    process = _process.Process(target=_answer, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def _answer(told: "multiprocessing.connection.Connection[str, None]") -> None:
    with Listener() as listener:
        told.send(listener.url)
        listener.serve_forever()


@contextmanager
def deaf() -> Iterator[str]:
    """Somebody who never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def rows(length: Length) -> Iterator[str]:
    """The lines of the table, each as it becomes known."""
    yield "| a window | p50 | p99 | told | lost |"
    yield "|---|---|---|---|---|"
    with EnergyClient("") as client:
        yield _row("told to nobody (no URL)", client, timed(client, window, length.windows))
    with answering() as url:
        for name, work in (("one every millisecond", window), ("two, one in the other, every millisecond", nested)):
            with EnergyClient(url) as client:
                yield _row(name, client, timed(client, work, length.windows), windows=1 + (work is nested))
        with EnergyClient(url) as client:
            yield _row("back to back", client, timed(client, window, length.back_to_back, pause_seconds=0.0))
    with deaf() as url, EnergyClient(url, timeout=0.5) as client:
        yield _row("the exporter hangs", client, timed(client, window, length.windows), flush=False)


def _row(name: str, client: EnergyClient, taken: Sequence[float], *, windows: int = 1, flush: bool = True) -> str:
    if flush:
        client.flush(20.0)
    else:
        client.close(0.0)
    cuts = quantiles(taken, n=100)
    told = 0 if client.off else windows * len(taken) - client.dropped
    return f"| {name} | {cuts[49] * 1e6:.1f} us | {cuts[98] * 1e6:.1f} us | {told:,} | {client.dropped:,} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what an energy window costs the program")
    parser.add_argument("--quick", action="store_true", help="only see that it runs: the figures mean little")
    for line in rows(QUICK if parser.parse_args(arguments).quick else Length()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
