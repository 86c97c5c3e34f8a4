"""A tuner that does nothing but turn its knob, until somebody ends it: `python -m tests.tune.victim KNOB [TURNS]`."""

import itertools
import sys
import time

from exporter.domain.errors import TuneError
from exporter.tune.guard import tuned
from exporter.tune.knob import KnobName

NAMES: dict[str, KnobName] = {"power_limit": "power_limit", "clocks": "clocks"}


def main(name: str, turns: int | None = None) -> None:
    print("begins", flush=True)
    with tuned(NAMES[name], "0") as knob:
        settings = knob.range().settings[:-1]
        for turn in itertools.count():
            if turn == turns:
                return
            knob.set(settings[turn % len(settings)])
            if turn == 0:
                print("turned", flush=True)
            time.sleep(0.005)


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:]))
    except TuneError as error:
        sys.exit(f"{error}")
