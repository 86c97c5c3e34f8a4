"""The real exporter as a process on this board, with the log of a server that says nothing."""

import os
import time
from collections.abc import Iterator

from validation.checking import Answer
from validation.options import Options
from validation.serving.batching_server import LOG_OPTIONS
from validation.serving.metering import Metering
from validation.serving.run import Served
from validation.stage import Room

_WATCHED_SECONDS = 1.5


def answers(room: Room, _: Options) -> Iterator[Answer]:
    """Whether it meters, and whether it ends in order with a recording."""
    log, recording = room.scratch / "requests.jsonl", room.scratch / "check.jsonl.gz"
    log.touch()
    served = Served("http://127.0.0.1:9", os.getpid(), "check", log, "jsonl", LOG_OPTIONS)
    began = room.now()
    metering = Metering(served, "check", recording, room.scratch)
    try:
        metering.await_ready(room)
        ready_seconds = room.now() - began
        room.wait(_WATCHED_SECONDS)
        books = metering.books(time.time())
    finally:
        ended = metering.stop()
    joules = sum(device.metered for device in books.devices) if books is not None else 0.0
    words = f"ready after {ready_seconds:.1f} s, {joules:.0f} J metered since"
    yield Answer("the exporter", joules > 0.0, words)
    size = recording.stat().st_size if recording.is_file() else 0
    yield Answer("its recording", size > 0 and not ended, ended or f"{size / 1e3:.1f} kB")
