"""`python -m grafana.check http://127.0.0.1:9090` asks a Prometheus every query of every dashboard.

Each must be understood. Each must return something, unless its panel says what it means if nothing is there, such as
budgets that nobody configured; `--all` lets nobody off. Queries over time are asked over the last `--minutes`.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grafana.__main__ import FOLDER
from grafana.promql import Asked, chosen, documents, filled_in, queries

STEPS = 60
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a Prometheus said. `series`: how many; `error`: why none."""

    asked: Asked
    series: int
    seconds: float
    error: str = ""

    def is_missing(self, *, everything: bool) -> bool:
        """Whether this is an error, or nothing where something should be."""
        excused = self.asked.kind == "annotation" or (self.asked.may_be_empty and not everything)
        return bool(self.error) or (self.series == 0 and not excused)


def ask(url: str, minutes: int, interval: str = "1m", folder: Path = FOLDER) -> Iterator[Answer]:
    """Every query of every dashboard, one after the other."""
    end = time.time()
    for document in documents(folder):
        values = chosen(document, interval, f"{minutes}m")
        for asked in queries(document):
            yield _answer(url, asked, filled_in(asked.expr, values), end, minutes * 60)


def _answer(url: str, asked: Asked, expr: str, end: float, seconds: int) -> Answer:
    begun = time.perf_counter()
    over_time = {"start": f"{end - seconds}", "end": f"{end}", "step": f"{max(1, seconds // STEPS)}"}
    form = {"query": expr, **({"time": f"{end}"} if asked.instant else over_time)}
    address = f"{url.rstrip('/')}/api/v1/{'query' if asked.instant else 'query_range'}"
    request = urllib.request.Request(address, urllib.parse.urlencode(form).encode())  # noqa: S310 - the user's own
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            series, error = len(json.load(response)["data"]["result"]), ""
    except urllib.error.HTTPError as refused:
        series, error = 0, json.load(refused).get("error", str(refused))
    return Answer(asked, series, time.perf_counter() - begun, error)


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0: all is there."""
    parser = argparse.ArgumentParser(prog="python -m grafana.check", description=(__doc__ or "").strip())
    parser.add_argument("url", help="of a Prometheus that scrapes an exporter")
    parser.add_argument("--minutes", type=int, default=15, help="how far back")
    parser.add_argument("--interval", default="1m", help="what stands for $__rate_interval: four scrapes at least")
    parser.add_argument("--all", action="store_true", help="no panel may be empty")
    chosen_options = parser.parse_args(arguments)
    answers = list(ask(chosen_options.url, chosen_options.minutes, chosen_options.interval))
    missing = [one for one in answers if one.is_missing(everything=chosen_options.all)]
    for one in missing:
        print(f"{one.asked.dashboard}: {one.asked.title}: {one.error or 'nothing'}\n    {one.asked.expr}")
    slowest = max(one.seconds for one in answers)
    print(f"{len(answers)} queries, {len(missing)} missing, the slowest took {slowest * 1000:.0f} ms")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
