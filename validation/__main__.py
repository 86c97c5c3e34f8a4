"""python3 -m validation: see the package's head."""

import argparse
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from exporter import __version__
from validation import driver, files, machine, report, schedule
from validation.checking import SECONDS, check, verdict
from validation.cutting import Knife
from validation.fake import FakeUnavailableError, plugged_in
from validation.options import Options
from validation.results import MachineFacts, StageName, StageResult, Validation
from validation.stage import Room
from validation.stages import PLACES, gather

MINUTES = 9.0
CHECKED = "check.txt"


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a validation goes by, once everything is there."""

    out: Path
    scratch: Path
    wanted: Sequence[StageName]
    options: Options
    deadline: float
    command: str
    say: Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status.

    Returns:
        0: every stage that could run did. 1: one failed or was cut, or none could run. 2: wrong usage.
    """
    began = time.monotonic()
    typed = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    chosen = parser.parse_args(typed)
    options = Options(fake=chosen.fake, llama_server=chosen.llama_server, servers=chosen.servers)
    _check_usage(parser, chosen.out, options, check=chosen.check)
    say = _speaker(began)
    try:
        with ExitStack() as stack:
            scratch = stack.enter_context(_scratch(chosen.scratch))
            if chosen.out is not None:
                chosen.out.mkdir(parents=True, exist_ok=True)
            driver.find()
            if chosen.fake:
                stack.enter_context(plugged_in(scratch / "nvml"))
                say("FAKE: the board is a fake whose watts are made up; nothing that follows is a measurement")
            if chosen.check:
                return _check(chosen, options, scratch, began, say)
            return _validate(_setting(chosen, options, scratch, began, typed, say))
    except FakeUnavailableError as error:
        say(str(error))
    except OSError as error:
        say(f"{error.filename or chosen.out}: {error.strerror or error}")
    return 1


def _check(
    chosen: argparse.Namespace, options: Options, scratch: Path, began: float, say: Callable[[str], None]
) -> int:
    """Ask this machine what would run; 0 if nothing speaks against any of it."""
    until = began + (SECONDS if chosen.minutes is None else 60.0 * chosen.minutes)
    here = machine.look(fake=options.fake)
    room = Room(scratch, scratch, until, time.monotonic, time.sleep, here, say)
    with Knife().ready() as knife:
        found = check(room, options, knife)
    say(verdict(found))
    if chosen.out is not None:
        head = ["FAKE: not of any GPU"] if options.fake else []
        lines = [*head, *(answer.line() for answer in found), verdict(found), ""]
        files.write(chosen.out / CHECKED, "\n".join(lines))
    return 1 if any(answer.good is False for answer in found) else 0


def _setting(  # noqa: PLR0913, PLR0917 - what the command line says, and what there is
    chosen: argparse.Namespace,
    options: Options,
    scratch: Path,
    began: float,
    typed: Sequence[str],
    say: Callable[[str], None],
) -> _Setting:
    minutes = MINUTES if chosen.minutes is None else chosen.minutes
    return _Setting(
        out=chosen.out,
        scratch=scratch,
        wanted=[name for name in chosen.only or PLACES if name not in (chosen.skip or ())],
        options=options,
        deadline=began + 60.0 * minutes - min(schedule.RESERVE_SECONDS, 6.0 * minutes),
        command=shlex.join(["python3", "-m", "validation", *typed]),
        say=say,
    )


def _validate(setting: _Setting) -> int:
    here = machine.look(fake=setting.options.fake)
    setting.say(f"{here.gpu or 'no NVIDIA GPU'}, driver {here.driver or 'unknown'}, {here.cores} cores")
    for words in machine.missing(here):
        setting.say(words)
    keep = _keeper(setting, here)
    stages = gather(setting.wanted, setting.options)
    with Knife().ready() as knife:
        course = schedule.Course(
            out=setting.out,
            scratch=setting.scratch,
            deadline=setting.deadline,
            now=time.monotonic,
            wait=time.sleep,
            machine=here,
            say=setting.say,
            keep=keep,
        )
        results = schedule.run(stages, course, knife)
    _tell_files(setting)
    return status(results)


def status(results: Sequence[StageResult]) -> int:
    """Of the program: 0 where all that could run did, and something could."""
    endings = [result.ending for result in results]
    return 0 if set(endings) <= {"done", "skipped"} and "done" in endings else 1


def _keeper(setting: _Setting, here: MachineFacts) -> schedule.Keep:
    began = time.time()

    def keep(stages: tuple[StageResult, ...]) -> None:
        validation = Validation(here, began, setting.command, __version__, stages)
        files.write(setting.out / files.RESULTS, files.to_json(validation))
        files.write(setting.out / files.REPORT, report.markdown(validation))

    return keep


def _tell_files(setting: _Setting) -> None:
    there = sorted(path for path in setting.out.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in there) / 1e6
    setting.say(f"{len(there)} files, {size:.1f} MB in {setting.out}: {', '.join(path.name for path in there)}")
    if len(there) > files.MOST_FILES:
        setting.say(f"more than {files.MOST_FILES} files: clear {setting.out} of what earlier runs left")


def _speaker(began: float) -> Callable[[str], None]:
    """Lines with the seconds since the start, at once even in a pipe: this is watched, and may be killed."""

    def say(text: str) -> None:
        for line in text.splitlines():
            print(f"{time.monotonic() - began:6.1f} s  {line}", file=sys.stderr, flush=True)

    return say


@contextmanager
def _scratch(chosen: Path | None) -> Iterator[Path]:
    """A folder for large things, deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="validation-", dir=chosen))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m validation",
        description="Hold this exporter against a real NVIDIA GPU. No setting of the device is ever changed.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go, made if need be")
    parser.add_argument("--check", action="store_true", help="only say what would run here, in a minute")
    parser.add_argument("--minutes", type=_minutes, help=f"for all of it (default: {MINUTES:g})")
    parser.add_argument("--only", type=_names, metavar="STAGE,...", help=f"of: {', '.join(PLACES)}")
    parser.add_argument("--skip", type=_names, metavar="STAGE,...", help="all but these")
    parser.add_argument("--fake", action="store_true", help="on a fake board: nothing is measured, all is labelled so")
    parser.add_argument(
        "--servers",
        type=_words,
        default=(),
        metavar="NAME,...",
        help="of the serving stage, by how their names begin: llama-server, transformers, transformers-qwen3 (all)",
    )
    parser.add_argument("--llama-server", type=Path, metavar="PATH", help="the llama-server to drive")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="for weights and logs, deleted again (default: /tmp)"
    )
    return parser


def _check_usage(parser: argparse.ArgumentParser, out: Path | None, options: Options, *, check: bool) -> None:
    if out is None and not check:
        parser.error("the following arguments are required: --out (or --check)")
    if not options.servers:
        return
    try:
        from validation.serving.servers import unknown  # noqa: PLC0415 - its needs may be missing; the stage says so
    except ImportError:
        return
    word, names = unknown(options)
    if word:
        parser.error(f"argument --servers: no server's name begins with {word!r}: {', '.join(names)}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.0 < minutes <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text} is no time that a validation could take")
    return minutes


def _names(text: str) -> list[StageName]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in get_args(StageName)]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or text!r}: choose of {', '.join(PLACES)}")
    return [name for name in get_args(StageName) if name in names]


if __name__ == "__main__":
    sys.exit(main())
