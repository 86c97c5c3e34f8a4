"""The command `simulate`: the simulation on this machine's clock, its API, and the real exporter watching it."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from aiohttp.web import AppRunner

from exporter.clock import SystemClock
from exporter.domain.settings import ListenAddress, Settings
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.listening import url_of
from exporter.power.select import Opened
from exporter.simulate.desk import Desk
from exporter.simulate.front import Front, serve_front
from exporter.simulate.plan import Plan
from exporter.simulate.simulation import Simulation
from exporter.simulate.source import SOURCE, SimulatedSource
from exporter.simulate.summary import Result, summary

TICK_SECONDS = 0.02
"""How late tokens reach a client and lines a log; the simulation itself is exact however seldom it is asked."""

COMPARE_SECONDS = 1.0
END_SECONDS = 2.0
"""What is running when a simulation ends may finish its step for so long."""

QUIET_SECONDS = 0.3
"""And then nothing happens for so long: what ended in the ledger's last slice, 100 ms of it, could not be settled."""


class WatchingExporter(Protocol):
    """A running exporter, as a simulation needs it."""

    @property
    def url(self) -> str:
        """Where it answers, without a trailing slash."""
        ...

    def snapshot(self) -> Snapshot:
        """The books as they are now."""
        ...

    async def finish(self) -> Snapshot:
        """Stops reading, settles every request, closes every slice; the final books."""
        ...


OpenPower = Callable[[Settings, SystemClock], Sequence[Opened]]
OnSettled = Callable[[Sequence[SettledRequest]], None]
MakeExporter = Callable[[Settings, SystemClock, OpenPower, OnSettled], AbstractAsyncContextManager[WatchingExporter]]


def run(plan: Plan, make_exporter: MakeExporter) -> int:
    """Simulate until the plan's end or Ctrl-C, and print the result. Returns the process's exit status.

    Raises:
        ListenError: a port cannot be had.
    """
    with _directory(plan) as directory:
        asyncio.run(_run(plan, directory, make_exporter))
    return 0


async def _run(plan: Plan, directory: Path, make_exporter: MakeExporter) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stdout.write(summary(await simulate_live(plan, directory, make_exporter, stop, say=_say)))
    sys.stdout.flush()


async def simulate_live(
    plan: Plan, directory: Path, make_exporter: MakeExporter, stop: asyncio.Event, *, say: Callable[[str], None]
) -> Result:
    """Simulate until `stop` or the plan's end.

    Args:
        plan: what to simulate.
        directory: where the logs go.
        make_exporter: runs the exporter that watches.
        stop: set to end it.
        say: told what a user should know while it goes on.

    Raises:
        ListenError: a port cannot be had.
    """
    clock = SystemClock()
    begin = clock.now()
    simulation = Simulation(plan, directory, begin, clock.wall_offset(), say)
    source = SimulatedSource(simulation.fleet, clock.now)
    desk = Desk(simulation.fleet, clock.now)
    settled: list[SettledRequest] = []
    opened = [Opened(source, SOURCE)]
    try:
        async with make_exporter(plan.settings(directory), clock, lambda *_: opened, settled.extend) as exporter:
            front = await _serve(plan, simulation, desk, clock)
            try:
                say(_welcome(plan, directory, exporter.url, url_of(front)))
                await _drive(simulation, desk, clock, stop, lambda: _compare(simulation, settled, exporter.snapshot()))
            finally:
                await front.cleanup()
            seconds = clock.now() - begin
            snapshot = await exporter.finish()
            _compare(simulation, settled, snapshot)
    finally:
        simulation.close()
    fleet = simulation.fleet
    return Result(
        plan, seconds, snapshot, source.true_joules(), simulation.truth, fleet.busy_joules(), simulation.refused
    )


async def _serve(plan: Plan, simulation: Simulation, desk: Desk, clock: SystemClock) -> AppRunner:
    rng = np.random.default_rng([plan.seed, 3])
    front = Front(plan.served_model, desk, simulation.gauges, lambda: clock.now() - clock.wall_offset(), rng)
    return await serve_front(front.application(), ListenAddress(plan.listen.host, plan.port))


async def _drive(
    simulation: Simulation, desk: Desk, clock: SystemClock, stop: asyncio.Event, compare: Callable[[], None]
) -> None:
    """Let time pass until the end, then let what runs hang up."""
    duration = simulation.plan.duration_seconds
    end = None if duration is None else clock.now() + duration
    compared = clock.now()
    while not stop.is_set() and (end is None or clock.now() < end):
        await _tick(simulation, desk, clock)
        if clock.now() - compared >= COMPARE_SECONDS:
            compared = clock.now()
            compare()
    simulation.fleet.hang_up(clock.now())
    hung_up = clock.now()
    while simulation.present and clock.now() - hung_up < END_SECONDS:
        await _tick(simulation, desk, clock)
    quiet = clock.now()
    while clock.now() - quiet < QUIET_SECONDS:
        await _tick(simulation, desk, clock)


def _compare(simulation: Simulation, settled: list[SettledRequest], snapshot: Snapshot) -> None:
    simulation.truth.compare(settled, {server.server: server.policy for server in snapshot.servers})
    settled.clear()


async def _tick(simulation: Simulation, desk: Desk, clock: SystemClock) -> None:
    simulation.tick(clock.now())
    desk.look()
    await asyncio.sleep(clock.real(TICK_SECONDS))


def _welcome(plan: Plan, directory: Path, exporter: str, front: str) -> str:
    pattern, target = plan.pattern, exporter.partition("//")[2]
    load = (
        "no load: send requests yourself" if plan.load == "none" else f"load {plan.load}, {pattern.rate:.2f} requests/s"
    )
    return "\n".join(
        [
            f"SIMULATED: {plan.served_model} on GPUs: {plan.boards}, as servers: {plan.replicas}; {load}.",
            "There is no GPU and no model behind this. Power and times come from published fits and assumptions.",
            "",
            f"  live page         {exporter}/",
            f"  joules            {exporter}/metrics",
            f"  OpenAI's API      {front}/v1",
            f"  server's metrics  {front}/metrics",
            f"  logs              {directory}",
            "",
            f"  curl -N {front}/v1/chat/completions -H 'Content-Type: application/json' \\",
            '    -d \'{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 64, "stream": true}\'',
            "",
            "  # Prometheus:",
            "  scrape_configs:",
            f"    - {{job_name: llm-energy-simulated, static_configs: [{{targets: ['{target}']}}]}}",
            "",
            "Ctrl-C ends it and prints the books beside the truth.",
            "",
        ]
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def _directory(plan: Plan) -> Iterator[Path]:
    """Where the logs go; deleted afterwards unless a user named it."""
    if plan.directory is not None:
        yield plan.directory.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="llm-energy-simulated-") as name:
        yield Path(name)
