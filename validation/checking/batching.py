"""Transformers' continuous batching on this device: a small model, its engine's proof, some requests."""

from collections.abc import Iterator

from validation.checking import Answer
from validation.checking.asking import asked
from validation.options import Options
from validation.serving.batching import BatchingServer, Build
from validation.serving.run import Bearing
from validation.stage import Room


def answers(room: Room, options: Options) -> Iterator[Answer]:
    """By which way of attention it runs is in the answers."""
    seconds = max(room.left() - 3.0, 1.0)
    bearing = Bearing(4, 192, 64)
    real = Build("small", "cuda", bearing, seconds)
    build = Build("tiny", "cpu", bearing, seconds, threads=1) if options.fake else real
    yield from asked("continuous batching", BatchingServer(build), room)
