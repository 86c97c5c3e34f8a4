"""Whom to ask for accounts, and for which time: as a user says it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from exporter.config.kinds import UnfitError
from exporter.config.quantities import seconds
from exporter.domain.errors import ReportError, UsageError, WebError
from exporter.report.account import Account
from exporter.report.sources import prometheus, recorded, running
from exporter.web import OPEN, Access

DEFAULT_EXPORTER = "http://127.0.0.1:9460"
_URL = re.compile(r"https?://", re.IGNORECASE)
_PERIOD = re.compile(r"(?P<since>.+?)\.\.(?P<until>.+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom, and for which time.

    Attributes:
        exporter, prometheus: URLs. recording: a file. At most one of the three; the exporter on this machine without.
        since, until: of a Prometheus, as given; None: the last day.
        matchers: of a Prometheus. compare: what to stand beside it, as given.
        access: how to be let in where a URL is asked.
        now: Unix seconds.
        watch: told which part of a recording has been played, or of a Prometheus been asked.
    """

    now: float
    exporter: str | None = None
    prometheus: str | None = None
    recording: Path | None = None
    since: str | None = None
    until: str | None = None
    matchers: tuple[str, ...] = ()
    compare: str | None = None
    access: Access = OPEN
    watch: Callable[[float], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Sources:
    """Those who know what was booked, each of the kind that `exporter.report.sources` describes."""

    prometheus: Callable[..., Account] = prometheus.account
    running: Callable[..., Account] = running.account
    recorded: Callable[..., Account] = recorded.account


EVERYBODY = Sources()


def accounts(asked: Asked, sources: Sources = EVERYBODY) -> tuple[Account, Account | None]:
    """What the report is about, and what stands beside it.

    Raises:
        UsageError: what was asked does not fit together.
        ReportError, WebError: whoever was asked does not say it. RecordingError: a file is no recording.
    """
    if asked.prometheus is None:
        _only_of_prometheus(asked)
    compared = None if asked.compare is None else _compared(asked, sources, asked.compare)
    return _main(asked, sources, named=asked.compare is not None and _is_period(asked.compare)), compared


def _only_of_prometheus(asked: Asked) -> None:
    given = {"--since": asked.since, "--until": asked.until, "--match": asked.matchers}
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(f"{wrong[0]}: only a Prometheus (--prometheus URL) remembers by time and label")


def _main(asked: Asked, sources: Sources, *, named: bool) -> Account:
    if asked.recording is not None:
        return sources.recorded(asked.recording, watch=asked.watch)
    if asked.prometheus is not None:
        return _period(asked, sources, asked.prometheus, _time(asked), named=named)
    if asked.exporter is not None:
        return sources.running(asked.exporter, access=asked.access)
    return _nearby(asked, sources)


def _nearby(asked: Asked, sources: Sources) -> Account:
    """The exporter that is asked where nobody is named; without it, an error that says how to name one."""
    try:
        return sources.running(DEFAULT_EXPORTER, access=asked.access)
    except (ReportError, WebError) as error:
        raise ReportError(f"{error}; or name a source: --exporter URL, --prometheus URL, --recording FILE") from error


def _compared(asked: Asked, sources: Sources, what: str) -> Account:
    """A file, a URL of the kind that is asked already, or another time."""
    if _URL.match(what):
        if asked.prometheus is None:
            return sources.running(what, access=asked.access)
        return _period(asked, sources, what, _time(asked), named=False)
    if Path(what).exists() or not _is_period(what):
        return sources.recorded(Path(what), watch=asked.watch)
    match = _PERIOD.fullmatch(what)
    assert match
    if asked.prometheus is None:
        raise UsageError(f"--compare {what}: only a Prometheus (--prometheus URL) remembers another time")
    return _period(asked, sources, asked.prometheus, _Time(match["since"], match["until"], "--compare "), named=True)


def _is_period(what: str) -> bool:
    return not _URL.match(what) and not Path(what).exists() and _PERIOD.fullmatch(what) is not None


@dataclass(frozen=True, slots=True)
class _Time:
    """A period as it was typed, after which option."""

    since: str
    until: str
    option: str = ""


def _time(asked: Asked) -> _Time:
    return _Time(asked.since or "24h", asked.until or "now")


def _period(asked: Asked, sources: Sources, url: str, when: _Time, *, named: bool) -> Account:
    begin = moment_of(when.since, asked.now, when.option or "--since ")
    end = moment_of(when.until, asked.now, when.option or "--until ")
    if begin >= end:
        raise UsageError(f"{when.option}{when.since}..{when.until}: the period would end before it begins")
    name = f"{_day(begin)} to {_day(end)}" if named else ""
    matchers = ",".join(asked.matchers)
    return sources.prometheus(url, begin, end, matchers=matchers, access=asked.access, name=name, watch=asked.watch)


def moment_of(text: str, now: float, option: str) -> float:
    """`24h` ago, `now`, or `2026-11-20T08:00` (UTC unless it says otherwise), in Unix seconds.

    Raises:
        UsageError: it is none of these.
    """
    if text == "now":
        return now
    try:
        return now - seconds(text)
    except UnfitError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}{text}: should be how long ago (24h), or when (2026-11-20T08:00Z), or now") from None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()


def _day(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")
