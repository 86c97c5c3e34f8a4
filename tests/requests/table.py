"""What every recorded log says, a row each. `python -m tests.requests.table` prints it.

`python -m tests.requests.table docs/SERVERS.md` writes it there, with what the registry says of every source.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from exporter.domain.events import Dropped, Heard, Ignored
from exporter.domain.lines import Line
from exporter.requests.registry import SOURCES
from tests.requests.replay import (
    ALL_LOGS,
    Log,
    Seen,
    Told,
    back_read,
    counted,
    events,
    feed,
    live,
    requests,
    surveyed,
    tasks,
    texts,
    truth,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "SERVERS.md"
_KNOWN = {"start": "start", "first_token": "first token", "end": "end", "tokens": "tokens", "clock": "clock"}
_TELLS_EXECUTION = ("llamacpp", "llama_cpp_python", "ollama")
"""Sources whose start is when the slot took the request: compared with the times that the server itself answered."""
_HEAD = (
    "log",
    "source",
    "read",
    "lines",
    "requests",
    "counted",
    "clients saw",
    "tokens in/out",
    "told to",
    "start off",
    "end off",
    "duration off",
    "ignored",
    "dropped",
)


class Row(NamedTuple):
    """One log: what was found in it, how far that is from what its clients saw, and what was passed over.

    Attributes:
        uncertainty: the largest that a start or an end was told with, in seconds.
        errors: the largest of starts, ends and durations, in seconds.
    """

    log: Log
    way: str
    lines: int
    found: int
    counted: int
    seen: int | None
    tokens: tuple[int | None, int | None]
    uncertainty: float | None
    errors: tuple[float | None, float | None, float | None]
    ignored: Counter[str]
    dropped: Counter[str]


def row(log: Log) -> Row:
    """Read the log back as `parse` does, or, where it has no time of its own, as if live."""
    heard, way = feed(surveyed(log), _complete(log, back_read(log))), "back"
    if not requests(events(heard)):
        again = feed(log.reader(), _complete(log, live(log)))
        if requests(events(again)):
            heard, way = again, "live"
    told = requests(events(heard))
    return Row(
        log,
        way,
        len(heard),
        len(told),
        len(counted(events(heard))),
        len(truth(log)) if log.truth else None,
        _tokens(told.values()),
        max((max(one.start_uncertainty, one.end_uncertainty) for one in told.values()), default=None),
        _errors(log, told),
        _reasons(heard, Ignored),
        _reasons(heard, Dropped),
    )


def _complete(log: Log, lines: list[Line]) -> list[Line]:
    """Without what follows the last line end, which is no line."""
    return lines[:-1] if not texts(log)[-1] else lines


def _reasons(heard: Sequence[Heard], fate: type[Ignored] | type[Dropped]) -> Counter[str]:
    return Counter(one.reason for one in heard if isinstance(one, fate))


def _tokens(told: Iterable[Told]) -> tuple[int | None, int | None]:
    ended = [one.ended for one in told]
    return _sum(one.prompt_tokens for one in ended), _sum(one.output_tokens for one in ended)


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _errors(log: Log, told: dict[str, Told]) -> tuple[float | None, float | None, float | None]:
    pairs = list(_pairs(log, told)) if log.truth else []
    starts = [(one, start, end) for one, start, end in pairs if start is not None]
    return (
        max((abs(one.start - start) for one, start, _ in starts), default=None),
        max((abs(one.end - end) for one, _, end in pairs), default=None),
        max((abs((one.end - one.start) - (end - start)) for one, start, end in starts), default=None),
    )


def _pairs(log: Log, told: dict[str, Told]) -> Iterator[tuple[Told, float | None, float]]:
    """Each request that a client saw with the one that the log tells: by their id, else the nearest in time."""
    if log.kind == "llamacpp":
        for task, seen in tasks(log).items():
            yield told[task], _true_start(log, seen), seen.ended
        return
    left, sent = dict(told), {seen.client_id: seen for seen in truth(log)}
    for seen in list(sent.values()):
        id_ = next((id_ for id_ in (seen.id, seen.client_id) if id_ in left), None)
        if id_ is not None:
            yield left.pop(id_), _true_start(log, sent.pop(seen.client_id)), seen.ended
    while left and sent:
        distances = {
            (id_, client_id): _distance(log, one, seen) for id_, one in left.items() for client_id, seen in sent.items()
        }
        id_, client_id = min(distances, key=lambda pair: distances[pair])
        seen = sent.pop(client_id)
        yield left.pop(id_), _true_start(log, seen), seen.ended


def _distance(log: Log, told: Told, seen: Seen) -> float:
    start = _true_start(log, seen)
    return abs(told.end - seen.ended) + (0.0 if start is None else abs(told.start - start))


def _true_start(log: Log, seen: Seen) -> float | None:
    """When the request was sent, or, where the source tells execution, when that began if the server answered it."""
    if log.kind not in _TELLS_EXECUTION:
        return seen.sent
    return None if seen.total_ms is None else seen.ended - seen.total_ms / 1e3


# As text


def table() -> str:
    """All rows, in Markdown."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|---" * len(_HEAD) + "|"]
    return "\n".join([*lines, *(_line(row(log)) for log in sorted(ALL_LOGS, key=lambda log: log.name))]) + "\n"


def _line(one: Row) -> str:
    errors = ["-" if error is None else f"{1e3 * error:.0f} ms" for error in one.errors]
    told_to = "-" if one.uncertainty is None else f"±{_short(1e3 * one.uncertainty)} ms"
    source = one.log.kind + "".join(f", {key}: {value}" for key, value in sorted(one.log.options.items()))
    cells = [
        f"`{one.log.name}`",
        source,
        one.way,
        one.lines,
        one.found,
        one.counted or "-",
        "-" if one.seen is None else one.seen,
        "/".join("-" if number is None else str(number) for number in one.tokens),
        told_to,
        *errors,
        _reasons_text(one.ignored),
        _reasons_text(one.dropped),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _short(milliseconds: float) -> str:
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}" if milliseconds >= 0.001 else "0.001"


def _reasons_text(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items())) or "-"


def sources() -> str:
    """What every source knows, and what makes it tell more, in Markdown."""
    return "\n".join(_source(name) for name in SOURCES)


def _source(name: str) -> str:
    kind = SOURCES[name]
    knows = "\n".join(f"| {_KNOWN[key]} | {_cell(kind.knows[key])} |" for key in _KNOWN)
    return f"### `{name}`\n\n| it knows | |\n|---|---|\n{knows}\n\nTo be told more: {kind.advice}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def rewritten(document: str) -> str:
    """The document with its generated parts written anew."""
    for name, part in (("sources", sources()), ("table", table())):
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- {name}: end -->"
        head, rest = document.split(begin)
        document = f"{head}{begin}\n{part}\n{end}{rest.split(end)[1]}"
    return document


if __name__ == "__main__":
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(rewritten(path.read_text()))
    else:
        sys.stdout.write(table())
