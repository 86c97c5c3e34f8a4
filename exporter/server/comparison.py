"""The page's section on proxies: pictures of predicted against actual, and how far off each proxy is on each ground."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

from exporter.domain.settings import ProxyName
from exporter.domain.snapshot import Ground, ProxyView, ScoreView, SettledRequest, Snapshot
from exporter.proxy.proxies import UNITS
from exporter.server.pieces import NOTHING, how_known, key, legend, or_nothing, section, strong
from exporter.server.quantities import count, percent, plain, signed_percent
from exporter.server.scatter import Frame, Point, beyond, frame, scatter

_MOST_MODELS = 6  # six pictures each: a page that can still be looked at

_RECIPES: Mapping[ProxyName, str] = {
    "time": "k &times; duration",
    "affine_time": "k<sub>0</sub> + k<sub>1</sub> &times; duration",
    "time_share": "k &times; duration / requests at a time",
    "tokens": "k<sub>1</sub> &times; prompt + k<sub>2</sub> &times; output tokens",
    "step_model": "tokens &times; (a / requests at a time + b)",
    "peak": "rated power &times; duration",
}
_GROUNDS: Mapping[Ground, str] = {
    "isolated": "ran alone, metered",
    "window": "windows of time, metered",
    "request": "shares, by a rule",
}
_HEADLINE: tuple[Ground, ...] = ("isolated", "window")
_COLUMNS = ("MAPE", "bias", "R²", "samples")
_INTRODUCTION = (
    "How far does inference time stand in for energy here? Each proxy says a request's joules before it knows them, "
    "from what anyone without a power meter can see. Scores are of the latest predictions."
)
_NOTE = (
    "<b>shares</b> are grey because they prove little: energy of overlapping requests is split by the attribution "
    "policy, not metered, so a proxy that resembles that rule looks good there."
)
_DRIFT_MARK = "▲"
_DRIFT = f'<b class="drift">{_DRIFT_MARK}</b> recent errors have left their own history'


def comparison(snapshot: Snapshot) -> str:
    """The section."""
    models = [(*names, list(views)) for names, views in groupby(snapshot.proxies, lambda one: (one.server, one.model))]
    if not models:
        return section("Time as a proxy", "<p>No proxy has predicted anything yet.</p>")
    shown = sorted(models, key=lambda one: -_samples(one[2]))[:_MOST_MODELS]
    parts = [_model(server, model, views, snapshot.recent) for server, model, views in shown]
    return section("Time as a proxy", f"<p>{_INTRODUCTION}</p>", *parts, f"<p>{_NOTE}</p>", _left_out(models, shown))


def _left_out(models: Sequence[object], shown: Sequence[object]) -> str:
    left = len(models) - len(shown)
    return f'<p>{count(left)} more with fewer samples: <a href="/api/v1/proxy">as JSON</a>.</p>' if left else ""


def _samples(views: Iterable[ProxyView]) -> int:
    return sum(score.samples for view in views for score in view.scores.values())


def _model(server: str, model: str, views: Sequence[ProxyView], recent: Sequence[SettledRequest]) -> str:
    mine = [one for one in recent if (one.server, one.model) == (server, model)]
    requests = [one for one in mine if one.has_energy and one.method != "time_proxy"]
    badges = " ".join(how_known(how) for how in sorted({one.method for one in requests} - {"measured"}))
    title = f"<h3>{escape(model)} <small>on {escape(server)}</small> {badges}</h3>"
    return f"{title}{_pictures(views, requests)}{_scores(views)}"


# Pictures


def _pictures(views: Sequence[ProxyView], requests: Sequence[SettledRequest]) -> str:
    within = frame(_actual(one) for one in requests if one.predicted)
    if within is None:
        return "<p>No recent request has both a prediction and an energy to hold it against.</p>"
    figures = "".join(_figure(view, _points(view.proxy, requests), within) for view in views)
    keys = (
        key("alone", "<b>ran alone</b> its energy is metered"),
        key("share", "<b>overlapped others</b> its energy is a share, by a rule"),
        key("truth", "<b>diagonal</b> predicted = actual"),
    )
    return f'<div class="pictures">{figures}</div>{legend(keys)}'


def _figure(view: ProxyView, points: Sequence[Point], within: Frame) -> str:
    label = f"{view.proxy}: predicted against actual joules of {count(len(points))} requests"
    said = f"<b>{escape(view.proxy)}</b><br>{_RECIPES[view.proxy]}"
    off = beyond(points, within)
    notes = [*_learned(view), *([f"{count(off)} beyond the frame"] if off else [])]
    below = f"<p>{' · '.join(notes) or 'nothing learned yet'}</p>"
    return f"<figure><figcaption>{said}</figcaption>{scatter(points, within, escape(label))}{below}</figure>"


def _points(proxy: ProxyName, requests: Iterable[SettledRequest]) -> list[Point]:
    return [
        Point(_actual(one), one.predicted[proxy], one.metered_joules is not None)
        for one in requests
        if math.isfinite(one.predicted.get(proxy, math.nan))
    ]


def _actual(request: SettledRequest) -> float:
    return request.joules if request.metered_joules is None else request.metered_joules


def _learned(view: ProxyView) -> Iterator[str]:
    for term, learned in sorted(view.coefficients.items()):
        value = f"{learned.value:.0f}" if abs(learned.value) >= 1000 else f"{learned.value:.3g}"
        error = f" ± {learned.error:.2g}" if 0 < learned.error < math.inf else ""
        said = f"{term.replace('_', ' ')} {value}{error} {UNITS[view.proxy].get(term, '')}"
        yield escape(said).replace(" ", "&nbsp;")


# Scores


def _scores(views: Sequence[ProxyView]) -> str:
    best = {ground: _least_error(views, ground) for ground in _HEADLINE}
    groups = "".join(f'<th class="{_kind(ground)} first" colspan="4">{name}</th>' for ground, name in _GROUNDS.items())
    names = "".join(_cells("th", ground, _COLUMNS) for ground in _GROUNDS)
    head = f'<tr><th></th>{groups}</tr><tr class="columns"><th>proxy</th>{names}</tr>'
    rows = "".join(_row(view, best) for view in views)
    drifts = any(score.drifting for view in views for score in view.scores.values())
    note = f"<p>{_DRIFT}</p>" if drifts else ""
    return f'<div class="wide"><table class="scores"><thead>{head}</thead><tbody>{rows}</tbody></table></div>{note}'


def _row(view: ProxyView, best: Mapping[Ground, float | None]) -> str:
    cells = (_ground(ground, view.scores.get(ground), best.get(ground)) for ground in _GROUNDS)
    return f"<tr><td><b>{escape(view.proxy)}</b></td>{''.join(cells)}</tr>"


def _ground(ground: Ground, score: ScoreView | None, best: float | None) -> str:
    if score is None or not score.samples:
        return _cells("td", ground, (NOTHING, NOTHING, NOTHING, "0"))
    error = score.recent.get("mape")
    written = _or_nothing(error, percent)
    marked = f"{_drift(score)}{strong(written) if error is not None and error == best else written}"
    bias, fit = _or_nothing(score.recent.get("bias"), signed_percent), _or_nothing(score.recent.get("r2"), plain)
    return _cells("td", ground, (marked, bias, fit, count(score.samples)))


def _or_nothing(value: float | None, written: Callable[[float], str]) -> str:
    return or_nothing(value if value is not None and math.isfinite(value) else None, written)


def _drift(score: ScoreView) -> str:
    if not score.drifting:
        return ""
    far = f"{score.drift:+.1f} standard deviations off its own history" if score.drift is not None else "drifts"
    return f'<b class="drift" title="{far}">{_DRIFT_MARK}</b> '


def _least_error(views: Iterable[ProxyView], ground: Ground) -> float | None:
    known = (score.recent.get("mape") for view in views if (score := view.scores.get(ground)) is not None)
    return min((error for error in known if error is not None), default=None)


def _cells(tag: str, ground: Ground, html: Iterable[str]) -> str:
    return "".join(_cell(tag, ground, index, one) for index, one in enumerate(html))


def _cell(tag: str, ground: Ground, index: int, html: str) -> str:
    return f'<{tag} class="number {_kind(ground)}{"" if index else " first"}">{html}</{tag}>'


def _kind(ground: Ground) -> str:
    return "metered" if ground in _HEADLINE else "ruled"
