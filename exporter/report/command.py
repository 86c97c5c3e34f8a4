"""`llm-energy-exporter report`: from what was typed to what is printed."""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from exporter import __version__
from exporter.domain.errors import ReportError, UsageError
from exporter.report.asking import Asked, accounts
from exporter.report.compose import Choices, compose, embodied_of
from exporter.report.footprint import price_of
from exporter.report.grid import country
from exporter.report.render import Format, render
from exporter.web import access_of

_BY_SUFFIX: dict[str, Format] = {".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html"}
_BY_SUFFIX[".json"] = "json"


def run(options: argparse.Namespace, stream: TextIO, show: Callable[[float], None], clear: Callable[[], None]) -> int:
    """Ask, work out, print.

    Args:
        options: as parsed.
        stream: where it is printed, unless a file is named.
        show: told how far a recording has been played, or a Prometheus been asked.
        clear: makes room for the result.

    Raises:
        UsageError: what was typed does not fit together.
        ReportError: nobody says what was booked, or the file cannot be written.
    """
    choices, now = _choices(options), time.time()
    try:
        account, beside = accounts(_asked(options, now, show))
    finally:
        clear()
    report = compose(account, choices, beside=beside, made=now, version=__version__)
    text = render(report, options.format or _format(options.out))
    if options.out is None:
        stream.write(text)
    else:
        _write(options.out, text)
    return 0


def _format(out: Path | None) -> Format:
    return "text" if out is None else _BY_SUFFIX.get(out.suffix.lower(), "text")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error.strerror}") from error


def _choices(options: argparse.Namespace) -> Choices:
    if options.parameters is not None and options.active_parameters is None:
        raise UsageError("--parameters: of no use without --active-parameters")
    return Choices(
        country=None if options.country is None else country(options.country),
        grams_per_kwh=_at_least("--intensity", options.intensity, 0.0),
        price=None if options.price is None else price_of(options.price),
        pue=_at_least("--pue", options.pue, 1.0),
        host=options.host_factor,
        embodied=None if options.embodied is None else embodied_of(options.embodied),
        active_parameters=_at_least("--active-parameters", options.active_parameters, 1.0),
        parameters=_at_least("--parameters", options.parameters, options.active_parameters or 1.0),
    )


def _at_least(option: str, value: float | None, least: float) -> float | None:
    if value is not None and not least <= value < math.inf:
        raise UsageError(f"{option} {value:g}: should be a number from {least:g} on")
    return value


def _asked(options: argparse.Namespace, now: float, show: Callable[[float], None]) -> Asked:
    return Asked(
        now=now,
        exporter=options.exporter,
        prometheus=options.prometheus,
        recording=options.recording,
        since=options.since,
        until=options.until,
        matchers=tuple(options.match),
        compare=options.compare,
        access=access_of(options),
        watch=show,
    )
