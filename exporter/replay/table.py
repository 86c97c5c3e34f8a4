"""Policies and proxies side by side, as a table for a terminal: ground by ground, at most 100 columns, no colours."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from exporter.domain.snapshot import Ground, ScoreName
from exporter.replay.comparison import Standing

_NAME_WIDTH = 24
_NOTHING = "-"
_MODEST = 100.0  # from here on digits say nothing: the size of the mistake does


def _percent(value: float) -> str:
    return f"{value:.1%}" if abs(value) < _MODEST else f"{value:.0f}x"


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + _percent(value)


def _plain(value: float) -> str:
    return f"{value:.3f}" if abs(value) < _MODEST else f"{value:.0e}"


_COLUMNS: tuple[tuple[str, ScoreName, Callable[[float], str]], ...] = (
    ("error", "mape", _percent),
    ("bias", "bias", _signed),
    ("R2", "r2", _plain),
    ("Pearson", "pearson", _plain),
    ("Spearman", "spearman", _plain),
)
_WIDTH = 11
READING = (
    "error: mean of |said - actual| / actual (MAPE); proxies said it before they knew. bias: of the sum, + too much.",
    "R2: 1 is perfect, below 0 the mean would do better. n: how many. -: not known.",
    "*: these shares are one rule's, not metered: a good figure there means no more than like that rule.",
)
"""What the columns mean."""


def side_by_side(standings: Iterable[Standing], yardstick: str, window_seconds: float) -> list[str]:
    """One table a server and model.

    Args:
        standings: in the order of the rows.
        yardstick: the policy whose shares are ground `request`.
        window_seconds: how long windows were.
    """
    known = list(standings)
    titles: dict[Ground, str] = {
        "isolated": "of requests that ran alone: metered",
        "window": f"of windows of {window_seconds:g} s: metered",
        "request": f"of all requests: shares by policy {yardstick}*",
    }
    lines = []
    for server, model in dict.fromkeys((one.server, one.model) for one in known):
        mine = [one for one in known if (one.server, one.model) == (server, model)]
        lines += [f"{model} on {server}", _head()]
        for ground, title in titles.items():
            lines += _block(title, [one for one in mine if one.ground == ground])
        lines.append("")
    return [*lines, *READING] if known else ["Nothing has settled: there is nothing to compare."]


def _head() -> str:
    return " " * _NAME_WIDTH + "".join(f"{name:>{_WIDTH}}" for name, _, _ in _COLUMNS) + f"{'n':>{_WIDTH}}"


def _block(title: str, standings: Sequence[Standing]) -> Iterator[str]:
    if standings:
        yield f"  {title}"
        yield from map(_row, standings)


def _row(one: Standing) -> str:
    values = [(one.scores.get(score), how) for _, score, how in _COLUMNS]
    texts = [_NOTHING if value is None else how(value) for value, how in values]
    return f"{f'    {one.kind} {one.name}':<{_NAME_WIDTH}}" + "".join(
        f"{text:>{_WIDTH}}" for text in (*texts, str(one.samples))
    )
