"""What a checkpoint costs: the books as values, and the values on disk."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory

from exporter.engine import CHECKPOINT_SECONDS
from exporter.state import StateStore
from tests.bench.throughput import Story
from tests.bench.traffic import LOGS, invented_run


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Several of them: seconds of processor for each, and bytes of values, before what SQLite adds."""

    seconds: tuple[float, ...]
    sizes: tuple[int, ...]

    @property
    def median_seconds(self) -> float:
        """What one takes."""
        return median(self.seconds)

    @property
    def mean_bytes(self) -> float:
        """What one holds."""
        return fmean(self.sizes)


def checkpoints(devices: int, *, rate: float, warm_up_seconds: int, count: int) -> Checkpoints:
    """Make `count` checkpoints of a story that has gone on for a while, one every five seconds of it."""
    every = round(CHECKPOINT_SECONDS)
    run = invented_run(int(rate * (warm_up_seconds + count * every)), rate)
    story = Story("jsonl", LOGS["jsonl"](run), run.begin, devices)
    with TemporaryDirectory() as folder:
        store = StateStore.open(Path(folder))
        try:
            made = list(_make(story, store, warm_up_seconds // every + count, every))[-count:]
        finally:
            store.close()
    return Checkpoints(tuple(seconds for seconds, _ in made), tuple(size for _, size in made))


def _make(story: Story, store: StateStore, count: int, every: int) -> Iterator[tuple[float, int]]:
    saved = set(store.load())
    for _ in range(count):
        for _ in range(every):
            story.second()
        began = time.process_time()
        changes = story.pipeline.checkpoint(saved)
        changes["log|chat"] = json.dumps({"reader": story.reader.snapshot()}).encode()
        store.save(changes)
        story.pipeline.snapshot(story.now)
        yield time.process_time() - began, sum(len(value) for value in changes.values() if value is not None)
