"""`calibrate match`: which of several calibrations a remote server's latencies fit."""

import argparse
import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporter.calibrate.implied import energy_per_token
from exporter.calibrate.observation import EXAMPLE, MOST_LINES, Observations, columns, read
from exporter.calibrate.timing import Findings, Plan, time_server
from exporter.calibrate.verdict import Matched, document, text
from exporter.completions.client import CompletionError, Target, endpoint
from exporter.completions.observation import Observation
from exporter.config.calibrations import read_calibration
from exporter.credentials import is_token
from exporter.domain.errors import ExporterError, UsageError
from exporter.proxy.calibration.calibration import Calibration
from exporter.proxy.calibration.latency import LatencyProfile
from exporter.proxy.calibration.matching.expected import LEAST_SAMPLES
from exporter.proxy.calibration.matching.ranking import rank

_MOST_REQUESTS = 10_000
_MOST_CONCURRENT = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("calibrations", type=Path, nargs="+", metavar="CALIBRATION", help="what it may be")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--timings", type=Path, metavar="FILE", help="timings of requests, as JSON lines")
    where.add_argument("--url", help="an OpenAI-compatible server to time: sends it requests, which may cost money")
    parser.add_argument("--model", metavar="NAME", help="with --url: the model to ask for")
    usual = Plan()
    _whole(parser, "--requests", usual.requests, _MOST_REQUESTS, "with --url: how many requests")
    _whole(parser, "--concurrency", usual.concurrency, _MOST_CONCURRENT, "with --url: how many of them at once")
    _whole(parser, "--max-tokens", usual.max_tokens, 100_000, "with --url: the longest answer, in tokens")
    parser.add_argument("--api-key-env", metavar="VAR", help="with --url: the environment variable that holds the key")
    parser.add_argument("--save", type=Path, metavar="FILE", help="with --url: keep the timings, for --timings")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print which it is; the exit code is 1 where it is none of them.

    Raises:
        UsageError: the arguments do not go together.
        CalibrationError: a file is no calibration.
        ExporterError: there are no timings, or no calibration holds latencies.
    """
    candidates = _candidates(options.calibrations)
    heard = _from_file(options.timings) if options.timings is not None else _from_server(options)
    matched = match(candidates, heard)
    print(json.dumps(document(matched), indent=1) if options.json else "\n".join(text(matched)))
    return 1 if matched.ranking.verdict == "none" else 0


@dataclass(frozen=True, slots=True)
class Heard:
    """Timings, and what there is to say about them."""

    observations: Sequence[Observation]
    notes: Sequence[str] = ()


def match(candidates: Mapping[str, Calibration], heard: Heard) -> Matched:
    """Rank calibrations by name. Those without latencies are left out, and the notes say so.

    Raises:
        ExporterError: none has any.
    """
    profiles = {name: LatencyProfile.from_snapshot(one.latency) for name, one in candidates.items()}
    silent = [name for name, profile in profiles.items() if not _knows(profile)]
    if len(silent) == len(profiles):
        raise ExporterError(
            f"no latencies in {', '.join(silent)}: make it anew, from an exporter that saw first tokens"
        )
    timings = columns(heard.observations)
    ranking = rank({name: one.levels for name, one in profiles.items() if name not in silent}, timings)
    return Matched(
        ranking=ranking,
        energy={fit.name: energy_per_token(candidates[fit.name], fit, timings) for fit in ranking.fits},
        methods={fit.name: candidates[fit.name].method for fit in ranking.fits},
        notes=[*heard.notes, *(f"{name} holds no latencies and is left out" for name in silent)],
    )


def _knows(profile: LatencyProfile) -> bool:
    return any(max(level.tokens, level.first_tokens) >= LEAST_SAMPLES for level in profile.levels)


def _candidates(paths: Sequence[Path]) -> Mapping[str, Calibration]:
    """By what they are of; by that and their file, where two are of the same."""
    calibrations = [read_calibration(path) for path in paths]
    titles = [_title(one) for one in calibrations]
    named: dict[str, Calibration] = {}
    for path, title, one in zip(paths, titles, calibrations, strict=True):
        name = title if titles.count(title) == 1 else f"{title} ({path})"
        if name in named:
            raise UsageError(f"{path}: given twice")
        named[name] = one
    return named


def _title(calibration: Calibration) -> str:
    key = calibration.key
    about = [f"on {key.gpus}x {key.gpu}" if key.gpu else "", key.dtype, key.engine]
    return " ".join([key.model, *filter(None, about)])


def _from_file(path: Path) -> Heard:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            found = read(lines)
    except OSError as error:
        raise ExporterError(f"{path} cannot be read: {error.strerror}") from error
    if not found.good:
        why = f" ({'; '.join(found.examples)})" if found.bad else ""
        raise ExporterError(f"{path} holds no timing{why}: each line must be like {EXAMPLE}")
    return Heard(found.good, tuple(_notes(path, found)))


def _notes(path: Path, found: Observations) -> Iterator[str]:
    if found.bad:
        more = ", ..." if found.bad > len(found.examples) else ""
        yield f"{found.bad} lines of {path} were skipped: {'; '.join(found.examples)}{more}"
    if found.beyond:
        yield f"{path} is longer than {MOST_LINES} lines: the rest was not read"


def _from_server(options: argparse.Namespace) -> Heard:
    if not options.model:
        raise UsageError("--url without --model: which model is to be asked for?")
    endpoint(options.url, "chat")
    target = Target(options.url, options.model, _key(options.api_key_env))
    plan = Plan(options.requests, options.concurrency, options.max_tokens)
    with _saving(options.save) as keep:
        findings = asyncio.run(time_server(target, plan, secrets.token_hex(4), keep))
    if not findings.good:
        raise CompletionError(f"none of {plan.requests} requests could be timed: {_failures(findings)}")
    return Heard(findings.good, tuple(_doubts(findings)))


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not is_token(key):
        raise UsageError(f"--api-key-env: the environment variable {variable} holds no key")
    return key


@contextmanager
def _saving(path: Path | None) -> Iterator[Callable[[Observation], None]]:
    """Writes each timing as it comes: what was paid for is kept even if the rest fails."""
    if path is None:
        yield lambda _: None
        return
    try:
        with path.open("w", encoding="utf-8", buffering=1) as file:
            yield lambda one: print(one.line(), end="", file=file)
    except OSError as error:
        raise ExporterError(f"{path} cannot be written: {error.strerror}") from error


def _doubts(findings: Findings) -> Iterator[str]:
    if findings.failures:
        yield f"{sum(findings.failures.values())} requests could not be timed: {_failures(findings)}"
    if findings.counted_pieces:
        yield (
            f"the server did not tell the tokens of {findings.counted_pieces} answers: pieces of the stream were "
            "counted instead, and how times grow with the prompt is not known"
        )


def _failures(findings: Findings) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(findings.failures.items()))


def _whole(parser: argparse.ArgumentParser, flag: str, default: int, most: int, help_text: str) -> None:
    def number(given: str) -> int:
        if not given.isdecimal() or not 1 <= int(given) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}, not {given}")
        return int(given)

    parser.add_argument(flag, type=number, default=default, metavar="N", help=f"{help_text} (default: {default})")
