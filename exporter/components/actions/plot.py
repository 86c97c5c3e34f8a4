"""`components plot`: draw results again."""

import argparse
from pathlib import Path

from exporter.components.book import read_all
from exporter.components.plots import FORMATS, draw


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="results, or a folder with results.json")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (beside the first file)")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=FORMATS, help="(png svg)")


def run(options: argparse.Namespace) -> int:
    """Draw.

    Raises:
        ComponentsError: a file cannot be read or written, or matplotlib is missing.
    """
    first: Path = options.files[0]
    folder = options.out or (first if first.is_dir() else first.parent)
    for path in draw(read_all(options.files), folder, options.format):
        print(path)
    return 0
