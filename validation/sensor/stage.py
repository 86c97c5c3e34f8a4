"""Starts the probe as a process and takes its result.

A process of its own, because a CUDA context lives as long as its process and draws power all the while: idle power
without one could not be measured in the stages to come. It also can be ended when a driver call hangs.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from validation import machine as machines
from validation.cutting import CutError
from validation.files import stage_from_json
from validation.options import Options
from validation.programs import dying_with_us
from validation.results import MachineFacts, StageResult
from validation.stage import Room

ROOT = Path(__file__).parents[2]
"""Of the checkout: what the probe imports stands there."""
RESULT = "sensor.json"
_GOODBYE_SECONDS = 5.0
_LAST_CHARACTERS = 800


class SensorStage:
    """The stage; see the package's head."""

    name = "sensor"
    share = 90.0

    def __init__(self, options: Options) -> None:
        self._fake = options.fake

    def unable(self, machine: MachineFacts) -> str:
        """Without a GPU there are no sensors. Without PyTorch the parts that need no load are worth having."""
        return "" if machine.gpu else machines.missing(machine)[0]

    def run(self, room: Room) -> StageResult:
        """Let the probe run, tell what it tells, and read what it found.

        Raises:
            RuntimeError: it ended without a result.
            CutError: it was ended, and had nothing yet.
        """
        result = room.scratch / RESULT
        errors = room.scratch / "errors"
        code = -1
        try:
            with errors.open("wb") as stream, _probe(self._command(room, result), stream) as process:
                assert process.stdout is not None, "it was asked for"
                for line in process.stdout:
                    room.say(line.rstrip())
                code = process.wait()
        except CutError as cut:
            if not result.exists():
                raise
            found = _read(result)
            return replace(found, ending="cut", why="\n".join(filter(None, [str(cut), found.why])))
        if code:
            said = errors.read_text(errors="replace")[-_LAST_CHARACTERS:].strip() or "it said nothing"
            if not result.exists():
                raise RuntimeError(f"the probe ended with status {code} and no result: {said}")
            room.say(f"the probe ended with status {code} after its result: {said.splitlines()[-1]}")
        return _read(result)

    def _command(self, room: Room, result: Path) -> list[str]:
        facts = ["--fake"] if self._fake else []
        return [
            *(sys.executable, "-u", "-m", "validation.sensor"),
            *("--seconds", f"{room.left():.1f}", "--result", str(result.resolve()), "--out", str(room.out.resolve())),
            *facts,
        ]


def _read(result: Path) -> StageResult:
    return stage_from_json(result.read_text(encoding="utf-8"))


@contextmanager
def _probe(command: list[str], errors: object) -> Iterator[subprocess.Popen[str]]:
    """The process; whoever leaves early ends it, and gives it a moment to write what it has."""
    process = subprocess.Popen(  # noqa: S603 - this very interpreter, and a module of ours
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=errors,  # type: ignore[call-overload]
        text=True,
        preexec_fn=dying_with_us(),  # noqa: PLW1509 - one system call, prepared before the fork
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        process.stdout.close()
