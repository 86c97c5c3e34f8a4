"""`demo --recording`: a session that was recorded elsewhere, played through the whole pipeline again, and its result.

What was estimated or simulated then is so now, and is said to be. With `keep` the page of the final books is served; it
says that it shows a recording.
"""

import asyncio
import signal
import sys
from dataclasses import dataclass, field

import psutil

from exporter import __version__
from exporter.demo.progress import Progress
from exporter.demo.shipped import Chosen, find, in_words
from exporter.demo.summary import Recorded, Result, summary
from exporter.domain.health import Health, Published
from exporter.domain.settings import ListenAddress
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.domain.units import Instant
from exporter.listening import url_of
from exporter.recording.entries import Header
from exporter.recording.playing import Player, pipeline_of
from exporter.recording.recording import Recording
from exporter.server import build, serve

__all__ = ["RetellingOptions", "run"]


@dataclass(frozen=True, slots=True)
class RetellingOptions:
    """What a user may choose.

    Attributes:
        recording: a name of one that is shipped, or a file.
        keep: serve the page of the final books until Ctrl-C. listen: where; a free loopback port by default.
    """

    recording: str
    keep: bool = False
    listen: ListenAddress = field(default=ListenAddress("127.0.0.1", 0))


@dataclass(frozen=True, slots=True)
class _Story:
    """What a recording says once it is over. `warnings`: what a reader should know, in words."""

    header: Header
    books: Snapshot
    settled: tuple[SettledRequest, ...]
    warnings: tuple[str, ...]


def run(options: RetellingOptions) -> int:
    """Play it and print its result. Returns the process's exit status.

    Raises:
        UsageError: no such recording; says which there are.
        RecordingError: the file is none, or garbled.
        ListenError: the port cannot be had.
    """
    chosen = find(options.recording)
    progress = Progress()
    progress.say(f"playing {chosen.name}: {in_words(chosen)}")
    story = _play(chosen)
    if options.keep:
        asyncio.run(_show(chosen, story, options.listen, progress))
    else:
        _print(chosen, story)
    return 0


def _play(chosen: Chosen) -> _Story:
    with Recording(chosen.path) as recording:
        pipeline = pipeline_of(recording.header)
        player = Player([pipeline], recording.header.begin)
        settled = [one for moment in player.play(recording) for one in moment.settled[0]]
        settled += player.finish().settled[0]
        faults = f"the pipeline met a bug {player.faults} times" if player.faults else ""
        other = recording.header.exporter != __version__
        version = f"recorded by version {recording.header.exporter}, played by {__version__}" if other else ""
        warnings = tuple(filter(None, [recording.cut, faults, version]))
        return _Story(recording.header, pipeline.snapshot(player.now), tuple(settled), warnings)


def _print(chosen: Chosen, story: _Story, url: str | None = None) -> None:
    models = dict.fromkeys(view.model for view in story.books.models)
    recorded = Recorded(
        name=chosen.name,
        origin=in_words(Chosen(chosen.name, chosen.path)),
        ran=chosen.ran,
        energy=chosen.energy,
        settled=story.settled,
        warnings=story.warnings,
    )
    window_seconds = story.header.settings.scoring.window_seconds
    result = Result(", ".join(models) or "no model", story.books, (), url, window_seconds, recorded)
    sys.stdout.write(summary(result))
    sys.stdout.flush()


async def _show(chosen: Chosen, story: _Story, address: ListenAddress, progress: Progress) -> None:
    """Serve the final books until somebody ends it."""
    process = psutil.Process()
    used = process.cpu_times()
    health = Health(
        version=__version__,
        start=Instant(process.create_time()),
        cpu_seconds=used.user + used.system,
        memory_bytes=process.memory_info().rss,
        clock_steps=0,
        checkpoint_failures=0,
        sources=(),
        logs=(),
        recording=in_words(chosen),
    )
    published = Published(story.books, health)
    runner = await serve(build(lambda: published, lambda: True), address)
    try:
        _print(chosen, story, url_of(runner))
        progress.say("the page stays up; Ctrl-C ends it")
        await _interruption()
    finally:
        await runner.cleanup()


async def _interruption() -> None:
    """Waits for Ctrl-C or a request to terminate."""
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(kind, interrupted.set)
    await interrupted.wait()
