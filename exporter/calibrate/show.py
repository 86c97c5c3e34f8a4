"""`calibrate show`: a calibration, for people."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from exporter.config.calibrations import read_calibration
from exporter.proxy.calibration.calibration import Calibration, GroundScores, ProxyCalibration, Spread
from exporter.proxy.calibration.cautions import cautions
from exporter.proxy.calibration.estimator import order_of
from exporter.proxy.proxies import UNITS

_GROUNDS = ("isolated", "window", "request")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `calibrate export` wrote")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    calibration = read_calibration(options.file)
    print("\n".join(text(calibration, datetime.now(UTC))))
    return 0


def text(calibration: Calibration, now: datetime) -> Iterator[str]:
    """All there is to say about it, line by line."""
    yield from _heading(calibration)
    yield ""
    yield from _coefficients(calibration)
    yield ""
    yield from _scores(calibration)
    yield ""
    yield from _spreads(calibration)
    for caution in cautions(calibration, now):
        yield f"\nBeware: {caution}."


def _heading(calibration: Calibration) -> Iterator[str]:
    key = calibration.key
    yield f"{key.model} on {f'{key.gpus} x {key.gpu}' if key.gpu else 'hardware that it does not name'}"
    limit = f"{key.power_limit_watts:g} W" if key.power_limit_watts is not None else ""
    facts = (
        ("engine", key.engine),
        ("dtype", key.dtype),
        ("parallelism", key.parallelism),
        ("power limit", limit),
        ("driver", key.driver),
        ("made", calibration.date),
        ("made on", calibration.machine.platform),
        ("made by", f"llm-energy-exporter {calibration.machine.exporter}" if calibration.machine.exporter else ""),
        ("energy", f"{calibration.method}; shared among overlapping requests by rule `{calibration.policy}`"),
    )
    yield from (f"  {name:<12}{value or 'not known'}" for name, value in facts)


def _coefficients(calibration: Calibration) -> Iterator[str]:
    rows = [
        ("" if index else name, term, f"{one.value:.4g}", _error(one.error), UNITS[name][term])
        for name in order_of(calibration)
        for index, (term, one) in enumerate(calibration.proxies[name].coefficients.items())
    ]
    yield from _table(("proxy", "a", "costs", "+-", ""), rows, right=(2, 3))


def _error(error: float) -> str:
    return f"{error:.2g}" if isfinite(error) else "not told apart"


def _scores(calibration: Calibration) -> Iterator[str]:
    rows = [
        (name, *(cell for ground in _GROUNDS for cell in _cells(calibration.proxies[name], ground)))
        for name in order_of(calibration)
    ]
    head = ("off by (mean)", "ran alone", "n", "windows", "n", "shares*", "n")
    yield from _table(head, rows, right=(1, 2, 3, 4, 5, 6))
    yield "* shares come from a rule and are not metered: to be near them is no merit"


def _cells(proxy: ProxyCalibration, ground: str) -> tuple[str, str]:
    grounds: dict[str, GroundScores] = {str(name): one for name, one in proxy.grounds.items()}
    one = grounds.get(ground)
    if one is None:
        return ("-", "0")
    return (f"{one.scores['mape']:.1%}" if "mape" in one.scores else "-", str(one.samples))


def _spreads(calibration: Calibration) -> Iterator[str]:
    best = order_of(calibration)[0]
    proxy = calibration.proxies[best]
    rows = [("alone", *_spread(one)) for one in proxy.alone]
    rows += [(f"{one.concurrency} to {2 * one.concurrency}", *_spread(one)) for one in proxy.shared]
    yield f"Spread of `{best}`, which did best, by how many requests were there:"
    yield from _table(("requests", "off by (rms)", "bias", "n"), rows, right=(1, 2, 3))


def _spread(one: Spread) -> tuple[str, str, str]:
    return (f"{one.size:.1%}", f"{one.bias:+.1%}", str(one.samples))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        cells = (
            f"{cell:>{width}}" if column in right else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
