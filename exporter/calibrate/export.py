"""`calibrate export`: a calibration as a file, from a running exporter or from the state of one that has stopped."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from exporter.calibrate.files import write_whole
from exporter.domain.errors import CalibrationError, ExporterError, StateError, UsageError
from exporter.proxy.calibration.calibration import Calibration, from_json, to_json
from exporter.proxy.calibration.saved import ENTRY, unpack
from exporter.state import FILE_NAME, StateStore
from exporter.web import OPEN, Access, Web, access_of, add_access_arguments

_PATH = "/api/v1/calibration"
_TIMEOUT_SECONDS = 10.0

ByServer = Mapping[str, Sequence[Calibration]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", metavar="URL", help="a running exporter, such as http://localhost:9460")
    where.add_argument("--state-dir", type=Path, metavar="DIR", help="the state of an exporter that has stopped")
    parser.add_argument("--server", metavar="NAME", help="which server, where there are several")
    parser.add_argument("--model", metavar="NAME", help="which model, where there are several")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to write; standard output if left out")
    add_access_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Find the calibration and write it."""
    found = from_url(options.url, access_of(options)) if options.url is not None else from_state(options.state_dir)
    text = to_json(choose(found, options.server, options.model))
    if options.output is None:
        print(text, end="")
    else:
        write_whole(options.output, text)
        print(f"written to {options.output}; look at it with: calibrate show {options.output}", file=sys.stderr)
    return 0


def choose(found: ByServer, server: str | None, model: str | None) -> Calibration:
    """The one that is meant.

    Raises:
        UsageError: none is, or several could be.
    """
    every = [(name, one) for name, several in found.items() for one in several]
    fitting = [one for name, one in every if server in (None, name) and model in (None, one.key.model)]
    if len(fitting) == 1:
        return fitting[0]
    if not every:
        raise ExporterError("there is no calibration yet: proxies have learned nothing. Let it meter a loaded server")
    known = ", ".join(f"--server {name} --model {one.key.model}" for name, one in every)
    raise UsageError(f"{'several calibrations fit' if fitting else 'no calibration fits'}; there are: {known}")


def from_url(url: str, access: Access = OPEN) -> ByServer:
    """All calibrations of a running exporter. A name and a password may stand in its URL; no error repeats them.

    Raises:
        ExporterError: it cannot be asked, or does not answer as an exporter does.
        UsageError: the URL is none.
    """
    web = Web(url, access, timeout_seconds=_TIMEOUT_SECONDS)
    listed = _listed(_get(web, _PATH), web.url)
    found: dict[str, list[Calibration]] = {}
    for server, model in listed:
        text = _get(web, f"{_PATH}?{urlencode({'server': server, 'model': model}, errors='replace')}")
        found.setdefault(server, []).append(from_json(text))
    return found


def _listed(text: str, url: str) -> list[tuple[str, str]]:
    try:
        entries: list[Any] = json.loads(text)["calibrations"]
        return [(str(entry["server"]), str(entry["model"])) for entry in entries]
    except (ValueError, LookupError, TypeError):
        raise ExporterError(f"{url}{_PATH}: this is no answer of llm-energy-exporter; is the address right?") from None


def _get(web: Web, path: str) -> str:
    answer = web.ask(path)
    if not answer.good:
        raise ExporterError(f"{web.url}{path} answered {answer.status}: is this llm-energy-exporter?")
    return answer.text


def from_state(directory: Path) -> ByServer:
    """All calibrations in the state of an exporter that has stopped.

    Raises:
        StateError: there is no such state, or it is in use.
        CalibrationError: what is there cannot be used.
    """
    if not (directory / FILE_NAME).exists():
        raise StateError(f"there is no {FILE_NAME} in {directory}: is this the exporter's state_dir?")
    try:
        store = StateStore.open(directory)
    except StateError as error:
        raise StateError(f"{error}; if it is running, export with --url instead") from error
    try:
        saved = store.load().get(ENTRY)
        return {} if saved is None else unpack(saved)
    except CalibrationError as error:
        raise CalibrationError("", f"{directory / FILE_NAME}: {error}") from error
    finally:
        store.close()
