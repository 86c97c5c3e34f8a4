r"""Ollama's log: gin's access line when a request has been answered, and, from 0.30, llama-server's slot lines.

    [GIN] 2026/11/21 - 04:21:41 | 200 |  1.306418893s |       10.0.0.12 | POST     "/v1/chat/completions"
    slot print_timing: id  0 | task 31 |        eval time =     593.77 ms /    90 tokens

The access line has local time in whole seconds, and how long the request took since it came in: waiting for a slot and
loading the model included. Over a minute that is cut to whole seconds. It has no id, model or tokens. systemd and
docker compose put their own prefix before it.

From 0.30 on Ollama runs models in llama-server, whose lines tell a task's tokens and milliseconds, but no time, and not
whose task it is. A task is taken for the request whose access line follows if nothing speaks against it: it ran alone,
it is the only one that ended since the access line before, none runs now, and it took no longer than the request. Then
the request executed for the task's time at its end, and waited before. Two tasks at once, or two in one request, tell
nobody's tokens; so does all that ended before an access line that did not take it, until a request begins after that.

Prompts. Ollama prints them only with OLLAMA_DEBUG, quoted and on one line.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import tzinfo
from math import inf
from typing import Any, NamedTuple

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Outcome, Used
from exporter.domain.lines import Line
from exporter.domain.units import later
from exporter.requests.parts.chatter import printed
from exporter.requests.parts.durations import is_whole_seconds, seconds
from exporter.requests.parts.slots import IDLE, Task, ill_end, kind, prompt_tokens, release, slot_line, timing
from exporter.requests.parts.stamps import Moment, format_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "arrival, loading and queueing included; execution for requests that came one by one (from 0.30)",
    "first_token": "for requests that came one by one (from 0.30)",
    "end": "when the answer has been sent, also of failed requests; a client that left shows as aborted with 499 only",
    "tokens": "prompt, cached and output of requests that came one by one (from 0.30); else none",
    "clock": "local time in whole seconds; over a minute, durations are whole seconds too",
}
ADVICE = (
    "No setting makes Ollama log more of its requests. With OLLAMA_NUM_PARALLEL=1 (and 0.30 or newer) requests run "
    "one by one, and most tell their tokens. For model, tokens and milliseconds of all of them put the exporter's "
    "proxy, or a gateway with a log, before it. Read live or through a container runtime, its whole seconds become as "
    "sharp as the reading."
)

_ENDPOINTS = frozenset(
    {
        "/api/generate",
        "/api/chat",
        "/api/embed",
        "/api/embeddings",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/audio/transcriptions",
    }
)
_CLIENT_LEFT = 499
_HEAD = 512
_MOST_TASKS = 1_024
_TOLERANCE_SECONDS = 0.010  # llama-server's clock and gin's, started and stopped by two processes

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\d[T ][\d:.,+Z-]{8,30})"  # journald
    r" \S{1,255} [\w.-]{1,64}\[\d{1,10}\]: "
    r"|[\w.-]{1,128} +\| "  # docker compose
)
_GIN = re.compile(
    r"\[GIN\] (\d{4}/\d\d/\d\d - \d\d:\d\d:\d\d) \|\s*(\d{3})\s*\|\s*(\S{1,40})\s*\|\s*\S{1,64}\s*\|\s*([A-Z]{3,8})\s+"
    r'"([^"\\?]{0,256})[^"]*"?'
)

_REMEMBERED = Used(())
_STARTUP = Ignored("startup")
_SLOG = Ignored("slog")
_PROGRESS = Ignored("progress")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_BAD_LINE = Dropped("bad_access_line")
_NO_TIME = Dropped("no_time")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of Ollama's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source ollama has no options")
    return OllamaReader(time_zone(timezone))


@dataclass(slots=True)
class _Ended:
    """A task that ended: whether it was alone all along, and whether an access line since did not take it."""

    task: Task
    alone: bool
    passed_over: bool = False


class _Tasks:
    """The tasks of Ollama's llama-servers, and whose they evidently were."""

    def __init__(self) -> None:
        self.running: dict[str, _Ended] = {}
        self.ended: list[_Ended] = []
        self.left = 0  # requests that were answered while their tasks still ran

    def hear(self, text: str) -> bool:
        """Take in a line about a slot; False where it says nothing that counts."""
        found = slot_line(text)
        if found is None:
            return False
        key = f"{found.slot}/{found.task}"
        if found.function == "launch_slot" and found.rest.startswith("processing task"):
            self._launch(key, found.slot)
        elif ended := release(found.rest) if found.function == "release" else None:
            self._release(self._known(key, found.slot), key, ended.in_slot)
        elif said := timing(found.rest):
            self._known(key, found.slot).task.learn(said)
        elif (prompt := prompt_tokens(found.rest)) is not None:
            self._known(key, found.slot).task.prompt = prompt
        else:
            return False
        return True

    def ends_ill(self, task: str, outcome: Outcome) -> None:
        """A task was cancelled, or failed."""
        for key, known in self.running.items():
            if key.endswith(f"/{task}"):
                known.task.outcome = outcome

    def take(self, longest: float, *, after_all: bool) -> Task | None:
        """The task of a request that has just been answered; None where it is not evident.

        Args:
            longest: how long the request took at the most, in seconds.
            after_all: it began after the answer before it.
        """
        if after_all:
            self.ended = [one for one in self.ended if not one.passed_over]
        if len(self.ended) == 1 and not self.running and _fits(self.ended[0], longest):
            return self.ended.pop().task
        if not self.ended:
            self.left = min(self.left + 1, len(self.running))
        del self.ended[:1]
        for one in self.ended:
            one.passed_over = True
        return None

    def _known(self, key: str, slot: str) -> _Ended:
        known = self.running.setdefault(key, _Ended(Task(slot), alone=False))
        if len(self.running) > _MOST_TASKS:
            del self.running[next(iter(self.running))]
        return known

    def _launch(self, key: str, slot: str) -> None:
        alone = not self.running
        for other in self.running.values():
            other.alone = False
        self.running.pop(key, None)
        self._known(key, slot).alone = alone

    def _release(self, known: _Ended, key: str, in_slot: int) -> None:
        self.running.pop(key, None)
        known.task.in_slot = in_slot
        if self.left:
            self.left = min(self.left - 1, len(self.running))
            return
        self.ended.append(known)
        del self.ended[:-_MOST_TASKS]


def _fits(ended: _Ended, longest: float) -> bool:
    total = ended.task.total_ms
    if total is None:  # no timings: it was cancelled or failed, or it is no text that was asked for
        return ended.alone and not ended.passed_over and ended.task.outcome != "ok"
    return ended.alone and not ended.passed_over and total / 1e3 <= longest + _TOLERANCE_SECONDS


class _Took(NamedTuple):
    """How long a request took; the true value lies within `uncertainty` of `seconds`."""

    seconds: float
    uncertainty: float


class OllamaReader:
    """Reads one Ollama server's log."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._stamp = format_stamps("%Y/%m/%d - %H:%M:%S", zone)
        self._tasks = _Tasks()
        self._nameless = 0
        self._answered = -inf  # the latest instant at which the last answer may have been given

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        text = _plain(line.text)
        if text.startswith("[GIN] "):
            return self._answer(text, line)
        if text.startswith("slot"):
            return _REMEMBERED if self._tasks.hear(text) else _PROGRESS
        if ended := ill_end(text):
            self._tasks.ends_ill(*ended)
            return _REMEMBERED
        if IDLE in text:
            self._tasks.running.clear()
        return _ignored(text)

    def snapshot(self) -> Mapping[str, Any]:
        """The tasks that run or whose request is not known, and how many requests had no name."""
        tasks = self._tasks
        return {
            "running": {key: asdict(known) for key, known in tasks.running.items()},
            "ended": [asdict(known) for known in tasks.ended],
            "left": tasks.left,
            "nameless": self._nameless,
            "answered": None if self._answered == -inf else self._answered,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        tasks = _Tasks()
        try:
            tasks.running = {str(key): _revived(known) for key, known in snapshot["running"].items()}
            tasks.ended = [_revived(known) for known in snapshot["ended"]]
            tasks.left, nameless = int(snapshot["left"]), int(snapshot["nameless"])
            answered = -inf if snapshot["answered"] is None else float(snapshot["answered"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        self._tasks, self._nameless, self._answered = tasks, nameless, answered

    def _answer(self, text: str, line: Line) -> Heard:
        found = _GIN.match(text)
        took = None if found is None else _took(found[3])
        if found is None or took is None:
            return _BAD_LINE
        stamp, status, _, method, path = found.groups()
        if method != "POST" or path.rstrip("/") not in _ENDPOINTS:
            return _OTHER_ENDPOINT
        end = moment(line, self._stamp(stamp, line.not_after))
        if end is None:
            return _NO_TIME
        self._nameless += 1
        return Used((self._completed(end, took, int(status)),))

    def _completed(self, end: Moment, took: _Took, status: int) -> Completed:
        arrival, uncertainty = later(end.at, -took.seconds), end.uncertainty + took.uncertainty
        task = self._task(end, took, status)
        name, outcome = f"#{self._nameless}", _outcome(status)
        if task is not None and outcome == "ok":
            outcome = task.outcome  # the answer had begun before its client left
        if task is None or task.total_ms is None:
            return Completed(name, arrival, end.at, uncertainty, end.uncertainty, outcome=outcome)
        ran = min(task.total_ms / 1e3, took.seconds)
        start = later(end.at, -ran)
        prompt, cached, output = task.tokens()
        return Completed(
            name,
            start,
            end.at,
            end.uncertainty,
            end.uncertainty,
            task.first_token(start, end.at),
            took.seconds - ran,
            outcome,
            None,
            prompt,
            cached,
            output,
        )

    def _task(self, end: Moment, took: _Took, status: int) -> Task | None:
        if 300 <= status < 500 and status != _CLIENT_LEFT:
            return None  # answered before a model ran
        longest = took.seconds + took.uncertainty
        after_all = end.at - end.uncertainty - longest > self._answered
        self._answered = end.at + end.uncertainty
        task = self._tasks.take(longest, after_all=after_all)
        return task if status < 500 else None


def _plain(text: str) -> str:
    head = text[:_HEAD]
    if "\x1b" in head:
        head = _ANSI.sub("", head)
    found = _PREFIX.match(head)
    return head[found.end() :] if found else head


def _ignored(text: str) -> Ignored:
    if text.startswith("[GIN-debug]"):
        return _STARTUP
    if text.startswith("time="):
        return _SLOG
    said = kind(text)
    return printed(text) if said.reason == "continuation" else said


def _took(text: str) -> _Took | None:
    found = seconds(text)
    if found is None:
        return None
    return _Took(found + 0.5, 0.5) if is_whole_seconds(text) else _Took(found, 0.0)


def _outcome(status: int) -> Outcome:
    if status == _CLIENT_LEFT:
        return "aborted"
    return "ok" if status < 400 else "error"


def _revived(saved: Mapping[str, Any]) -> _Ended:
    return _Ended(**{**saved, "task": Task(**saved["task"])})
