"""`calibrate import`: a calibration into a state directory, where servers of its model that are not metered find it."""

import argparse
from pathlib import Path

from exporter.calibrate.files import write_whole
from exporter.config.calibrations import FOLDER, read_calibration
from exporter.domain.errors import ExporterError, StateError
from exporter.proxy.calibration.calibration import to_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `calibrate export` wrote")
    parser.add_argument("--state-dir", type=Path, required=True, metavar="DIR", help="the exporter's state_dir")


def run(options: argparse.Namespace) -> int:
    """Check the calibration and put it there."""
    calibration = read_calibration(options.file)
    if not options.state_dir.is_dir():
        raise StateError(f"state directory {options.state_dir} does not exist: is this the exporter's state_dir?")
    folder = options.state_dir / FOLDER
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ExporterError(f"{folder} cannot be made: {error.strerror}") from error
    target = folder / f"{calibration.name}.json"
    replaced = ", replacing the one that was there" if target.exists() else ""
    write_whole(target, to_json(calibration))
    print(f"imported as {target}{replaced}")
    print(f"servers with `model: {calibration.key.model}` that nothing meters use it from the exporter's next start")
    return 0
