"""How far time stood in for energy, as a table for a terminal. Pure: views of proxies in, lines of text out.

Two of the three grounds are metered: requests that ran alone, and windows of time. The third holds a proxy against
shares of energy, which a rule made; it stands last and is starred, because a proxy like that rule looks good there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from exporter.domain.snapshot import Ground, ProxyView, ScoreView

_GROUNDS: tuple[Ground, ...] = ("isolated", "window", "request")
_NAME_WIDTH = 12
_COLUMNS = (("error", 9), ("bias", 7), ("R2", 7), ("n", 6))
_GROUND_WIDTH = sum(width for _, width in _COLUMNS)
_NOTHING = "-"
_MODEST = 100.0  # from here on digits say nothing: the size of the mistake does

READING = (
    "error: mean of |predicted - actual| / actual, of predictions made before the proxy knew (MAPE);",
    "bias: the sum's, + too much; R2: 1 is perfect, below 0 the mean would do better; n: how many;",
    "-: not known yet. *: energy of overlapping requests is shared by a rule, not metered: there, good",
    "means no more than like the rule.",
)
"""What the columns mean."""


def scoreboard(proxies: Sequence[ProxyView], window_seconds: float = 60.0) -> list[str]:
    """Proxies against grounds, one table a server and model, over all time; at most 100 columns, no colours.

    Args:
        proxies: as a snapshot holds them. Their order is kept.
        window_seconds: how long a window was (`scoring.window_seconds`).
    """
    if not proxies:
        return ["No proxy has predicted anything yet."]
    tables = groupby(proxies, key=lambda view: (view.server, view.model))
    lines = [line for (server, model), group in tables for line in _table(server, model, list(group), window_seconds)]
    return [*lines, *READING]


def _table(server: str, model: str, views: Sequence[ProxyView], window_seconds: float) -> list[str]:
    return [f"{model} on {server}", *_head(window_seconds), *map(_row, views), *_drifts(views), ""]


def _head(window_seconds: float) -> Iterator[str]:
    titles = ("ran alone", f"windows of {window_seconds:g} s", "shares*")
    yield f"{'':<{_NAME_WIDTH}}" + "".join(f"{title:>{_GROUND_WIDTH}}" for title in titles)
    columns = "".join(f"{name:>{width}}" for name, width in _COLUMNS)
    yield f"{'proxy':<{_NAME_WIDTH}}" + columns * len(titles)


def _row(view: ProxyView) -> str:
    cells = (cell for ground in _GROUNDS for cell in _cells(view.scores.get(ground)))
    return f"{view.proxy:<{_NAME_WIDTH}}" + "".join(cells)


def _cells(score: ScoreView | None) -> Iterator[str]:
    known = score.lifetime if score else {}
    texts = (
        _written(known.get("mape"), _percent),
        _written(known.get("bias"), _signed_percent),
        _written(known.get("r2"), _plain),
        str(score.samples if score else 0),
    )
    return (f"{text:>{width}}" for text, (_, width) in zip(texts, _COLUMNS, strict=True))


def _drifts(views: Iterable[ProxyView]) -> Iterator[str]:
    for view in views:
        for ground in _GROUNDS:
            score = view.scores.get(ground)
            if score is not None and score.drifting and score.drift is not None:
                yield f"! {view.proxy} drifts on {ground}: {score.drift:+.1f} standard deviations off its own history"


def _written(value: float | None, how: Callable[[float], str]) -> str:
    return _NOTHING if value is None else how(value)


def _percent(value: float) -> str:
    return f"{value:.1%}" if abs(value) < 1 else f"{value:.0%}" if abs(value) < _MODEST else f"{value:.0f}x"


def _signed_percent(value: float) -> str:
    shown = round(value, 3) + 0.0  # what rounds to nothing has no sign
    return f"{'+' if shown > 0 else ''}{_percent(shown)}"


def _plain(value: float) -> str:
    return f"{value:.2f}" if abs(value) < _MODEST else f"{value:.0e}"
