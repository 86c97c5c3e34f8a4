"""What the readers said of every recorded log. `python -m tests.requests.golden` writes it anew; review the diff."""

from collections import Counter
from pathlib import Path

from exporter.domain.events import Heard, Used
from exporter.parse import event_json
from tests.requests.replay import ALL_LOGS, Log, back_read, events, feed, live, surveyed

GOLDEN = Path(__file__).parent / "golden"
WAYS = ("back", "live")


def golden_path(log: Log, way: str) -> Path:
    return GOLDEN / f"{log.name.removesuffix('.log')}.{way}.jsonl"


def said(log: Log, way: str) -> str:
    """The events a line each, then how many lines were used, ignored and dropped, and why."""
    heard = feed(surveyed(log), back_read(log)) if way == "back" else feed(log.reader(), live(log))
    rows = [event_json(event) for event in events(heard)]
    fates = Counter(_fate(one) for one in heard)
    return "\n".join([*rows, *(f"# {fate}: {number}" for fate, number in sorted(fates.items()))]) + "\n"


def _fate(heard: Heard) -> str:
    kind = type(heard).__name__.lower()
    return kind if isinstance(heard, Used) else f"{kind} {heard.reason}"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for one in ALL_LOGS:
        for direction in WAYS:
            golden_path(one, direction).write_text(said(one, direction))
