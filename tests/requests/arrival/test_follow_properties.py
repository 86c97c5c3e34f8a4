"""Every complete line that was written is returned once and in order, whatever happens to the files in between."""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exporter.requests.arrival import Bounds
from tests.requests.arrival.arriving import Follow, set_modified, write


class FollowedLog(RuleBasedStateMachine):
    """A server that writes a log, a rotation that disturbs it, and us, who follow it and are restarted.

    Truncation loses what no copy holds: so without one it happens only when everything was read, and the half line
    at the end counts as lost. A file that was never seen but empty cannot be known again in its copy.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.log = Path(self.directory.name) / "server.log"
        self.log.touch()
        self.follow = Follow(self.log, start_at="beginning", bounds=Bounds(poll_bytes=70_000, poll_lines=7))
        self.written: list[str] = []
        self.read: list[str] = []
        self.half = ""
        self.rotations = 0

    def teardown(self) -> None:
        self.catch_up()
        assert self.read == self.written
        self.follow.follower.close()
        self.directory.cleanup()

    def number(self, text: str) -> str:
        return f"{len(self.written):06d} {text}"

    @rule(text=st.text("ab é☃\t", max_size=300), cut=st.integers(0, 300))
    def write_a_line_in_two_pieces(self, text: str, cut: int) -> None:
        line = self.half + (text if self.half else self.number(text))
        raw = line[len(self.half) :].encode() + b"\n"
        write(self.log, raw[:cut])
        if cut % 3 == 0:
            self.poll()
        write(self.log, raw[cut:])
        self.written.append(line)
        self.half = ""

    @rule(count=st.integers(1, 40))
    def write_many_lines(self, count: int) -> None:
        for _ in range(count):
            self.write_a_line_in_two_pieces("", 1)

    @rule(text=st.text("ab", max_size=20))
    def write_half_a_line(self, text: str) -> None:
        piece = text if self.half else self.number(text)
        write(self.log, piece)
        self.half += piece

    @rule(after=st.sampled_from([0.01, 0.1, 2.0]))
    def poll(self, after: float = 0.1) -> None:
        self.read += self.follow.texts(after)

    @rule()
    def restart(self) -> None:
        self.follow.restart()

    @precondition(lambda self: not self.half)
    @rule(late=st.booleans())
    def rotate_by_rename(self, late: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        # A file that comes and goes between two looks cannot be seen by anybody.
        self.poll()
        self.rotations += 1
        old = self.log.rename(self.log.with_suffix(f".{self.rotations}"))
        if late:
            write(old, (line := self.number("late")) + "\n")
            self.written.append(line)
        self.log.touch()

    @rule(restart=st.booleans())
    def truncate_after_copying(self, restart: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        self.catch_up()
        os.truncate(self.log, 0)
        self.half = ""
        if restart:
            self.follow.restart()

    @precondition(lambda self: not self.half)
    @rule(restart=st.booleans())
    def copy_and_truncate(self, restart: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        self.write_many_lines(1)
        self.poll()
        self.write_many_lines(10)
        self.rotations += 1
        shutil.copyfile(self.log, self.log.with_suffix(f".{self.rotations}"))
        os.truncate(self.log, 0)
        if restart:
            self.follow.restart()

    @precondition(lambda self: not self.half)
    @rule(times=st.integers(1, 3), copying=st.booleans())
    def rotate_while_we_are_down(self, times: int, copying: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        self.write_many_lines(1)
        self.poll()
        for _ in range(times):
            self.write_many_lines(3)
            self.rotations += 1
            aside = self.log.with_name(f"server.log.{self.rotations}")
            if copying:
                shutil.copyfile(self.log, aside)
                os.truncate(self.log, 0)
            else:
                self.log.rename(aside)
                self.log.touch()
            set_modified(aside, float(self.rotations))
        self.follow.restart()

    def catch_up(self) -> None:
        self.read += self.follow.all_texts()

    @invariant()
    def only_what_was_written_is_read(self) -> None:
        assert self.read == self.written[: len(self.read)]


FollowedLog.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestFollowedLog = FollowedLog.TestCase
