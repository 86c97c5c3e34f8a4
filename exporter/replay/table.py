"""Policies and proxies side by side, as a table for a terminal: ground by ground, at most 100 columns, no colours."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from exporter.domain.readings import Method
from exporter.domain.snapshot import Ground, ModelView, ScoreName
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
_HELD_AGAINST: Mapping[Method, str] = {
    "measured": "metered",
    "estimated": "estimated",
    "simulated": "simulated",
    "recorded": "played from a recording",
}
READING = (
    "error: mean of |said - actual| / actual (MAPE); proxies said it before they knew. bias: of the sum, + too much.",
    "R2: 1 is perfect, below 0 the mean would do better. n: how many. -: not known.",
    "*: these shares are one rule's, not metered: a good figure there means no more than like that rule.",
)
"""What the columns mean."""


def side_by_side(
    standings: Iterable[Standing], yardstick: str, window_seconds: float, models: Sequence[ModelView] = ()
) -> list[str]:
    """One table a server and model.

    Args:
        standings: in the order of the rows.
        yardstick: the policy whose shares are ground `request`.
        window_seconds: how long windows were.
        models: those compared, which know how their energy came to be known; a model that is not among them was
            measured.
    """
    known = list(standings)
    methods = {(view.server, view.model): tuple(view.energy) for view in models}
    lines = []
    for place in dict.fromkeys((one.server, one.model) for one in known):
        mine = [one for one in known if (one.server, one.model) == place]
        lines += [f"{place[1]} on {place[0]}", _head()]
        for ground, title in _titles(yardstick, window_seconds, _how(methods.get(place, ()))).items():
            lines += _block(title, [one for one in mine if one.ground == ground])
        lines.append("")
    return [*lines, *READING] if known else ["Nothing has settled: there is nothing to compare."]


def _titles(yardstick: str, window_seconds: float, how: str) -> Mapping[Ground, str]:
    return {
        "isolated": f"of requests that ran alone: {how}",
        "window": f"of windows of {window_seconds:g} s: {how}",
        "request": f"of all requests: shares by policy {yardstick}*",
    }


def _how(methods: Sequence[Method]) -> str:
    """What a meter said that was none is not called metered. Calibrated proxies are held against nothing."""
    return " and ".join(_HELD_AGAINST[one] for one in methods if one in _HELD_AGAINST) or _HELD_AGAINST["measured"]


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
