"""Meters the steps of a training loop: a window each, told to the exporter when it starts and when it is over."""

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from urllib.request import Request, urlopen

EVENTS = os.environ.get("ENERGY_EVENTS_URL", "http://127.0.0.1:9460/api/v1/events")


def tell(**event: object) -> None:
    try:
        urlopen(Request(EVENTS, json.dumps(event).encode(), {"Content-Type": "application/json"}), timeout=1).close()
    except (OSError, HTTPException) as error:  # metering must never cost a training run
        print(f"this step is not metered: {error}", file=sys.stderr)


@contextmanager
def metered(window: str, **about: object) -> Iterator[None]:
    start, outcome = time.time(), "error"
    tell(event="start", id=window, at=start, **about)  # its share is kept for it from now on
    try:
        yield
        outcome = "ok"
    finally:
        tell(id=window, start=start, end=time.time(), outcome=outcome, **about)  # all of it, should the start be lost


if __name__ == "__main__":
    run = uuid.uuid4().hex[:8]
    for step in range(3):
        with metered(f"{run}/step-{step}", model="my-model", kind="training step"):
            sum(number * number for number in range(3_000_000))  # here be your step
