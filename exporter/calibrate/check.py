"""`calibrate check`: whether a calibration can be used, and what to think of it, for scripts and for the hasty."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from exporter.config.calibrations import read_calibration
from exporter.proxy.calibration.cautions import cautions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `calibrate export` wrote")


def run(options: argparse.Namespace) -> int:
    """Say that it is good; whatever is wrong with it is an error."""
    calibration = read_calibration(options.file)
    print(f"{options.file}: good ({calibration.name})")
    for caution in cautions(calibration, datetime.now(UTC)):
        print(f"  but {caution}")
    return 0
