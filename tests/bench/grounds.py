"""What each ground makes of the same proxies, on a SIMULATED server: the table of grounds in docs/ACCURACY.md.

    python -m tests.bench.grounds

The load is that of tests/properties/test_honesty.py: a crowd, then requests one at a time, then a crowd again, with
equal shares of time as the attribution rule. All of it is deterministic.
"""

from collections.abc import Iterator
from typing import get_args

from exporter.domain.snapshot import Ground
from tests.bench.schooling import NAMES, markdown, percent
from tests.properties.test_honesty import told

LEARNING = tuple(name for name in NAMES if name != "peak")
"""Those that are given nothing."""


def table() -> Iterator[str]:
    """The table, a line each."""
    views, off = told()
    yield f"shares by equal time are off the true ones by {percent(off)}\n"
    rows = {ground: [percent(views[name][ground].recent["mape"]) for name in LEARNING] for ground in get_args(Ground)}
    yield from markdown("held against", rows, LEARNING)


if __name__ == "__main__":
    for line in table():
        print(line)
