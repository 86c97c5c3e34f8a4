"""Tuners that are killed at any moment: before the first change, in the midst of it, between two, while putting back.

When nobody holds the board any more it is as it was; where the keeper was killed as well, after the next start.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from exporter import undo
from exporter.tune.guard import put_back_left_over
from exporter.tune.knob import KnobName
from exporter.tune.lock import locked
from tests.fakes.nvml import FakeGpu, FakeNvml, Fault, RealTime
from tests.tune.ending import keeper_of, kill, tuner, until, until_free, until_says

ROUNDS = 10
LIVES = 2.5
"""The longest life of a tuner, in times of what it takes to its first change on this machine as it is loaded now."""

SLOW = Fault("slow", value=4.0)
"""A setter takes milliseconds, as on a real board, so that some are struck in the midst of one."""

Victim = Popen[str]


def keeper_only(process: Victim) -> None:
    """As soon as there is one. The tuner notices, puts back and stops."""
    until(lambda: keeper_of(process) is not None or process.poll() is not None, "a keeper")
    kill(keeper_of(process))


def both(process: Victim) -> None:
    """As when a container ends."""
    kill(keeper_of(process))
    process.kill()


WAYS: dict[str, Callable[[Victim], None]] = {
    "SIGKILL": Popen.kill,
    "SIGTERM": Popen.terminate,
    "SIGINT": lambda process: process.send_signal(2),
    "keeper": keeper_only,
    "both": both,
}


@pytest.fixture
def fake(fake_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    boards = FakeNvml(fake_library, tmp_path, [FakeGpu(faults=(SLOW,))], time=RealTime(epoch=time.time()))
    boards.attach()
    for name, value in boards.environment().items():
        monkeypatch.setenv(name, value)
    return boards


def seconds_to_change(fake: FakeNvml) -> float:
    """How long a tuner takes from its beginning to its first change."""
    with tuner(fake, "power_limit", "1") as process:
        begun = time.monotonic()
        until_says(process, "turned")
        return time.monotonic() - begun


def end_at_random(fake: FakeNvml, way: str, chance: random.Random, longest: float) -> None:
    """Let a tuner live for a moment and end it in this way."""
    name: KnobName = "power_limit" if chance.random() < 0.5 else "clocks"
    with tuner(fake, name) as process:
        time.sleep(chance.uniform(0.0, longest))
        WAYS[way](process)
        process.communicate(timeout=30.0)
        until_free(fake)


def as_it_was(fake: FakeNvml) -> bool:
    """Whether nothing is changed."""
    return (fake.power_limit(), fake.locked_clocks()) == (700.0, None)


def changes(fake: FakeNvml) -> int:
    """How often the board was set to something else than what it had."""
    return sum(call.took and call.values not in {(), (700_000,)} for call in fake.set_calls())


def start_next(fake: FakeNvml) -> None:
    """What the next tuner does first."""
    with locked(fake.gpus[0].uuid, "gpu0") as lock:
        put_back_left_over(lock)


@pytest.mark.parametrize("way", WAYS)
def test_a_tuner_that_is_ended_at_a_random_moment_leaves_no_changed_limit(fake: FakeNvml, way: str) -> None:
    chance = random.Random(f"{way}, of six")  # noqa: S311 - moments, not secrets
    longest = LIVES * seconds_to_change(fake)
    before, stranded = changes(fake), 0
    for _ in range(ROUNDS):
        end_at_random(fake, way, chance, longest)
        if way == "both":
            stranded += not as_it_was(fake)
            start_next(fake)
        assert as_it_was(fake)
        assert list(undo.left_over()) == []
    assert changes(fake) > before, "all were ended before they changed anything: that shows nothing"
    assert stranded or way != "both", "no change was ever left by both: that shows nothing"
