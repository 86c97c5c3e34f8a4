"""python3 -m validation.judging DIR: judge the serving runs that lie in a folder again, and draw their picture.

Prints what it finds as Markdown. Nothing is run and no device is asked: what is judged is what was recorded.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from validation import machine, report
from validation.files import RESULTS, ResultsError, read
from validation.judging import judge
from validation.results import MachineFacts, Validation
from validation.serving import keeping
from validation.serving.stage import RUNS
from validation.stage import Room


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m validation.judging", description="Judge serving runs again.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="results of a validation")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the picture goes (the present folder)")
    asked = parser.parse_args(arguments)
    out = asked.out or Path()
    try:
        runs = keeping.read(asked.folder / RUNS)
        before = _before(asked.folder)
        out.mkdir(parents=True, exist_ok=True)
    except (keeping.RunsError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    here = before.machine if before else machine.look(fake=any(run.fake for run in runs))
    result = judge(runs, _room(out, here))
    began = before.began if before else min((run.phases[0].began for run in runs if run.phases), default=0.0)
    command = before.command if before else "python3 -m validation.judging"
    version = before.version if before else "not known"
    print(report.markdown(Validation(here, began, command, version, (result,))), end="")
    return 0 if result.ending == "done" else 1


def _before(folder: Path) -> Validation | None:
    """Of the machine on which it ran, where that is known."""
    try:
        return read(folder / RESULTS)
    except ResultsError:
        return None


def _room(out: Path, here: MachineFacts) -> Room:
    return Room(out, out, math.inf, time.monotonic, time.sleep, here, lambda _: None)


if __name__ == "__main__":
    sys.exit(main())
