"""Runs the stages one after the other, within the time that there is.

Theory of operation. What is left is shared among the stages still to come, by their `share`; so what one leaves over
goes to those after it, and nothing is lost to one that cannot run. An exception ends its stage only. A stage that is
past its deadline by more than `GRACE_SECONDS` is cut. Whatever happens, the results so far are kept after every stage,
and before it with the stage as one that was killed: should the whole program be killed, the file says in which stage.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from validation.cutting import CutError, Knife
from validation.results import MachineFacts, StageResult
from validation.stage import Room, Stage

GRACE_SECONDS = 10.0
"""A stage sees its deadline by itself; so much later it has not."""

RESERVE_SECONDS = 15.0
"""At the end, for writing; more than the grace."""

_LAST_LINES = 6
"""Of a traceback: where, and what."""

Keep = Callable[[tuple[StageResult, ...]], None]


@dataclass(frozen=True, slots=True)
class Course:
    """What the stages have in common; as in `Room`. `deadline`: of all of them. `keep`: writes the results so far."""

    out: Path
    scratch: Path
    deadline: float
    now: Callable[[], float]
    wait: Callable[[float], None]
    machine: MachineFacts
    say: Callable[[str], None]
    keep: Keep

    def room(self, seconds: float, name: str) -> Room:
        """For one stage, which has so many seconds from now."""
        scratch = self.scratch / name
        scratch.mkdir(parents=True, exist_ok=True)
        return Room(self.out, scratch, self.now() + seconds, self.now, self.wait, self.machine, self._saying(name))

    def _saying(self, name: str) -> Callable[[str], None]:
        return lambda text: self.say(f"{name}: {text}")


def run(stages: Sequence[Stage], course: Course, knife: Knife) -> tuple[StageResult, ...]:
    """All of them, in order. Never raises what a stage raises."""
    results: list[StageResult] = []
    for index, stage in enumerate(stages):
        waiting = stages[index:]
        seconds = allotted(waiting, course)
        course.keep((*results, _killed(stage), *(_unreached(each) for each in stages[index + 1 :])))
        results.append(_one(stage, course, seconds, knife))
        course.keep(tuple(results))
        course.say(_told(results[-1]))
    return tuple(results)


def allotted(waiting: Sequence[Stage], course: Course) -> float:
    """Seconds for the first of these stages: its share of what is left, among those that can run."""
    able = [stage for stage in waiting if not stage.unable(course.machine)]
    if not able or able[0] is not waiting[0]:
        return 0.0
    left = max(course.deadline - course.now(), 0.0)
    return left * able[0].share / sum(stage.share for stage in able)


def _one(stage: Stage, course: Course, seconds: float, knife: Knife) -> StageResult:
    """One stage, however it ends."""
    why = knife.stopped or stage.unable(course.machine) or ("" if seconds > 0.0 else "no time is left")
    if why:
        return StageResult(stage.name, "skipped", 0.0, why)
    began = course.now()
    course.say(f"{stage.name}: begins, with {seconds:.0f} s")
    try:
        with knife.after(seconds + GRACE_SECONDS):
            result = stage.run(course.room(seconds, stage.name))
    except CutError as error:
        result = StageResult(stage.name, "cut", 0.0, str(error))
    except Exception:  # noqa: BLE001 - one stage's failure is a result, and the others' business goes on
        result = StageResult(stage.name, "failed", 0.0, last_lines())
    return replace(result, stage=stage.name, seconds=course.now() - began)


def last_lines() -> str:
    """Of the traceback of what is being handled: where it happened, and what."""
    return "\n".join(traceback.format_exc().strip().splitlines()[-_LAST_LINES:])


def _killed(stage: Stage) -> StageResult:
    return StageResult(stage.name, "cut", 0.0, "the whole program was killed while this stage ran")


def _unreached(stage: Stage) -> StageResult:
    return StageResult(stage.name, "skipped", 0.0, "the whole program was killed before this stage")


def _told(result: StageResult) -> str:
    """One line for whoever watches."""
    held = [check.held for check in result.checks]
    checks = f"; of {len(held)} checks {held.count(True)} held" if held else ""
    why = f": {result.why.splitlines()[-1]}" if result.why else ""
    return f"{result.stage}: {result.ending} after {result.seconds:.0f} s, {len(result.figures)} figures{checks}{why}"
