"""Starts the measuring as a process and takes what it wrote, however it ended.

A process of its own, because its models fill the device's memory and its CUDA context draws power until it ends; and
because one that hangs in a driver can be ended.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from exporter.components.book import RESULTS
from exporter.components.plots import draw
from exporter.dissections import files
from exporter.domain.dissection import Dissection
from exporter.domain.errors import ComponentsError
from validation import machine as machines
from validation.components.findings import checks, figures, tables
from validation.components.measuring import FAILED
from validation.files import room_for_picture
from validation.options import Options
from validation.programs import Program
from validation.results import MachineFacts, StageResult
from validation.stage import Room

ROOT = Path(__file__).parents[2]
"""Of the checkout: what the process imports stands there."""
RESULT, PICTURE = "components.json", "components.png"
_LAST_SECONDS = 3.0
"""For reading and drawing."""
_LOOK_SECONDS = 0.25
_GRACE_SECONDS = 2.0


class ComponentsStage:
    """The stage; see the package's head."""

    name = "components"
    share = 110.0

    def __init__(self, options: Options) -> None:
        self._fake = options.fake

    def unable(self, machine: MachineFacts) -> str:
        """It needs a GPU that is metered, PyTorch, and Transformers."""
        wanted = (machine.gpu, machine.torch, machine.transformers)
        return "" if all(wanted) else " ".join(machines.missing(machine)) or "no GPU, PyTorch or Transformers"

    def run(self, room: Room) -> StageResult:
        """Let it measure, tell what it tells, and take what it wrote.

        Raises:
            RuntimeError: it found nothing; with the end of what it said.
        """
        program = Program(self._command(room), room.scratch / "log", folder=ROOT)
        try:
            said = _followed(program, room)
            ended = "" if not program.alive() else "it was ended at its deadline; what it had found before is here"
        finally:
            program.stop(_GRACE_SECONDS)
        results = _read(room.scratch / RESULTS)
        failed = [line for line in said if line.startswith(FAILED)]
        if not results:
            raise RuntimeError("\n".join([*failed, ended]).strip() or program.how_it_ended())
        names, left_out = _kept(results, room)
        return StageResult(
            stage=self.name,
            ending="cut" if ended else "done",
            seconds=0.0,
            why="\n".join(filter(None, [*failed, left_out, ended])),
            figures=tuple(figures(results)),
            checks=tuple(checks(results)),
            tables=tables(results),
            files=names,
        )

    def _command(self, room: Room) -> list[str]:
        seconds = max(room.left() - _LAST_SECONDS - _GRACE_SECONDS, 1.0)
        return [
            *(sys.executable, "-u", "-m", "validation.components"),
            *("--seconds", f"{seconds:.1f}", "--results", str(room.scratch.resolve())),
            *(["--fake"] if self._fake else []),
        ]


def _followed(program: Program, room: Room) -> list[str]:
    """What it says, told on as it comes, until it ends or is out of time."""
    told = 0
    while True:
        alive = program.alive()
        lines = program.log.read_text(errors="replace").splitlines()
        for line in lines[told:]:
            room.say(line)
        told = len(lines)
        if not alive or room.left() <= _LAST_SECONDS:
            return lines
        room.wait(_LOOK_SECONDS)


def _read(path: Path) -> tuple[Dissection, ...]:
    try:
        return files.read(path)
    except ComponentsError:
        return ()


def _kept(results: Sequence[Dissection], room: Room) -> tuple[tuple[str, ...], str]:
    """The file and, where there is room for it, the picture; else why not."""
    files.write(room.out / RESULT, results)
    if not room_for_picture(room.out, names=(PICTURE,)):
        return (RESULT,), f"no picture, for there are files enough: llm-energy-exporter components plot {RESULT}"
    try:
        shares = next(path for path in draw(results, room.scratch, ("png",)) if path.stem == "shares")
        (room.out / PICTURE).write_bytes(shares.read_bytes())
    except (ComponentsError, OSError) as error:
        return (RESULT,), f"no picture: {error}"
    return (RESULT, PICTURE), ""
