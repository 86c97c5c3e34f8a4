"""`components claims`: hold the paper's three claims against results."""

import argparse
from pathlib import Path

from exporter.components.actions.measuring import plotted
from exporter.components.book import read_all
from exporter.components.claims import ClaimName, figure_words, findings, tally
from exporter.components.page import markdown
from exporter.components.words import case_words, how
from exporter.dissections.files import write_text

_FIGURES: dict[ClaimName, str] = {"spread": "CV ", "capture": "", "attention": "J/FLOP "}
"""What the number is that decides."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="results, or a folder with results.json")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write a report in Markdown with plots there")
    parser.add_argument("--note", action="append", default=[], metavar="TEXT", help="a paragraph for the report")


def run(options: argparse.Namespace) -> int:
    """Print what holds; with a folder, write the report.

    Raises:
        ComponentsError: a file cannot be read or written.
    """
    results = read_all(options.files)
    found = findings(results)
    for one in found:
        case = f"{one.dissection.model}, {case_words(one.dissection.case)}"
        figure = "" if one.figure is None else f" {_FIGURES[one.claim]}{figure_words(one)}"
        print(f"{one.claim:<10}{one.verdict:<15}{case}:{figure} ({one.where})")
    print()
    for each in tally(found):
        print(f"{each.claim:<10}{each.verdict:<15}holds {each.holds}, does not {each.fails}, not known {each.unknown}")
    for said in dict.fromkeys(how(one.device) for one in results):
        print(f"energy: {said}")
    if options.out is not None:
        pictures = plotted(results, options.out)
        write_text(options.out / "report.md", markdown(results, pictures, options.note))
        print(f"written: {options.out / 'report.md'}")
    return 0
