"""The exporter, whole, on a clock that runs faster than the world.

    python -m tests.e2e.accelerated CONFIG

Importing takes a second, and at twenty times the speed that would be a downtime of twenty: the process says `loaded`
when it is ready to begin, waits for a line with the pace, and then says where it serves.
"""

import asyncio
import json
import logging
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from exporter.app import exporting
from exporter.clock import SystemClock
from exporter.config import load
from exporter.requests.registry import READERS

LOADED = "loaded"


@dataclass(frozen=True, slots=True)
class Pace:
    """A time of its own: `begin` at the wall clock's `epoch`, and from there `speed` times as fast."""

    epoch: float
    speed: float
    begin: float

    def now(self) -> float:
        return self.begin + (time.time() - self.epoch) * self.speed

    def real(self, seconds: float) -> float:
        return seconds / self.speed

    def sleep_until(self, instant: float) -> None:
        time.sleep(max(self.real(instant - self.now()), 0.0))

    def json(self) -> str:
        return json.dumps(asdict(self))


class AcceleratedClock(SystemClock):
    """The machine's clocks at a pace."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(wall=pace.now, steady=lambda: time.monotonic() * pace.speed)
        self._pace = pace

    def real(self, seconds: float) -> float:
        return self._pace.real(seconds)


async def run(config: Path, pace: Pace) -> None:
    """Serve until asked to terminate."""
    settings = load(config, {name: kind.build for name, kind in READERS.items()})
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with exporting(settings, AcceleratedClock(pace)) as exporter:
        print(exporter.url, flush=True)
        await stopping.wait()


def main() -> None:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    print(LOADED, flush=True)
    pace = Pace(**json.loads(sys.stdin.readline()))
    # The sampler and the engine take turns in the interpreter; they must not wait longer for it than in real life.
    sys.setswitchinterval(pace.real(sys.getswitchinterval()))
    asyncio.run(run(Path(sys.argv[1]), pace))


if __name__ == "__main__":
    main()
