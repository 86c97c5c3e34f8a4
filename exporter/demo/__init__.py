"""`llm-energy-exporter demo`: a real inference server, real requests, the real exporter, and the joules of each.

What is metered is this machine's CPU, because that is where the model runs; a GPU that happens to be here would only
be seen idling.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from exporter.demo.inference import InferenceError, RunningInference, find_inference, running
from exporter.demo.load import SECONDS, ClientFact, generate
from exporter.demo.progress import Progress
from exporter.demo.summary import Result, summary
from exporter.domain.settings import (
    ListenAddress,
    PowerSettings,
    RequestSettings,
    ScoringSettings,
    ServerSettings,
    Settings,
)
from exporter.domain.snapshot import Snapshot

__all__ = ["DemoExporter", "DemoOptions", "MakeExporter", "run"]

IDLE_SECONDS = 3.0
"""Metered before the first request, so that the books have an idle share and the exporter an idle baseline."""

SCORING_WINDOW_SECONDS = 5.0
"""A stranger waits less than a minute, so proxies are scored on windows shorter than the usual minute."""

_POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a user may choose.

    Attributes:
        binary: a llama-server to use instead of the installed package's. model: a GGUF file likewise.
        seconds: how long requests are sent. idle_seconds: how long before that none is.
        keep: keep exporter and server up after the load, until Ctrl-C.
        listen: where the exporter listens; a free loopback port by default.
    """

    binary: Path | None = None
    model: Path | None = None
    seconds: float = SECONDS
    idle_seconds: float = IDLE_SECONDS
    keep: bool = False
    listen: ListenAddress = field(default=ListenAddress("127.0.0.1", 0))


class DemoExporter(Protocol):
    """A running exporter, as the demo needs it."""

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


MakeExporter = Callable[[Settings], AbstractAsyncContextManager[DemoExporter]]


def run(options: DemoOptions, make_exporter: MakeExporter) -> int:
    """Runs the demo and prints its result. Returns the process's exit status.

    Raises:
        InferenceError: there is no server or model to run, it does not start, or it answers nothing.
        KeyboardInterrupt: interrupted or terminated before the result; everything that was started is stopped.
    """
    with _termination_interrupts():
        _run(options, make_exporter, Progress())
    return 0


def demo_settings(server: RunningInference, options: DemoOptions) -> Settings:
    """The exporter's configuration for watching the demo's server."""
    requests = RequestSettings("llamacpp", path=(str(server.log),), start_at="beginning")
    return Settings(
        servers=(ServerSettings("demo", (requests,), model=server.model),),
        listen=options.listen,
        power=PowerSettings(source=("rapl",) if _rapl_can_be_read() else ("cpu",)),
        scoring=ScoringSettings(window_seconds=SCORING_WINDOW_SECONDS),
    )


def _run(options: DemoOptions, make_exporter: MakeExporter, progress: Progress) -> None:
    inference = find_inference(options.binary, options.model)
    progress.say(f"starting llama-server with {inference.model.name}")
    with running(inference) as server:
        asyncio.run(_measure(options, server, make_exporter, progress))


async def _measure(
    options: DemoOptions, server: RunningInference, make_exporter: MakeExporter, progress: Progress
) -> None:
    settings = demo_settings(server, options)
    async with make_exporter(settings) as exporter:
        progress.say(f"exporter at {exporter.url}; metering the idle machine for {options.idle_seconds:g} s")
        await asyncio.sleep(options.idle_seconds)
        progress.say(f"sending requests for {options.seconds:g} s")
        facts = await generate(server.url, options.seconds, on_end=lambda _: progress.count("requests answered"))
        progress.say("booking the energy")
        _expect_answers(facts)
        if options.keep:
            await asyncio.sleep(settings.attribution.settle_seconds + 1)
            _print(Result(server.model, exporter.snapshot(), facts, exporter.url, SCORING_WINDOW_SECONDS))
            progress.say("still running; Ctrl-C ends it")
            await _interruption()
            await exporter.finish()
        else:
            books = await exporter.finish()
            _print(Result(server.model, books, facts, window_seconds=SCORING_WINDOW_SECONDS))


def _expect_answers(facts: tuple[ClientFact, ...]) -> None:
    if not any(fact.outcome == "ok" for fact in facts):
        raise InferenceError(f"llama-server answered none of {len(facts)} requests")


def _print(result: Result) -> None:
    sys.stdout.write(summary(result))
    sys.stdout.flush()


def _rapl_can_be_read() -> bool:
    return any(_readable(counter) for counter in _POWERCAP.glob("*rapl*/energy_uj"))


def _readable(counter: Path) -> bool:
    try:
        return counter.read_text().strip().isdigit()
    except OSError:
        return False


async def _interruption() -> None:
    """Waits for Ctrl-C or a request to terminate."""
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(kind, interrupted.set)
    await interrupted.wait()


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Inside, SIGTERM does what Ctrl-C does: everything that was started is stopped in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
