"""llama-server's log (llama.cpp): slots that take up a task and release it, from September 2024 to b11434.

    slot launch_slot_: id  3 | task 0 | processing task                             execution begins: the queue is over
    slot print_timing: id  3 | task 0 | prompt eval time =  101.09 ms /  38 tokens  on one line each, or, until 2026, as
    slot print_timing: id  3 | task 0 |        eval time =  551.99 ms /  30 tokens  a header and three bare lines
    slot print_timing: id  3 | task 0 |       total time =  653.07 ms /  68 tokens
    slot      release: id  3 | task 0 | stop processing: n_tokens = 67              execution ends

A request is a task. Timings tell its tokens: the prompt evaluated (without what the cache held) and the output; release
tells all tokens in the slot, one less than prompt and output. The first token comes a prompt's time after launch.

The order at the end. Timings come before release since b7079, and the end is told at once. b5036 printed release first
(it says `n_past`): there the end is held back until the timings, the next launch, the idle line or a few other lines
have come. All of these follow at once; the end keeps the instant of its release.

Time. Lines carry the time since their process started (`M.SS.mmm.uuu`, or JSON microseconds), or none at all. The start
itself is learnt: each line was read after it was written, so the process started before `read - elapsed`; lines that
the poll before had not seen bound it from below. The bounds tighten with every line. A line that was read back from a
file says only that the start was some time before, so nothing is placed by the clock until it is anchored; a request
that cannot be placed is counted. `survey` anchors a file that is read back as a whole: its last line was just written.

A router runs several servers and puts `[port] ` before their lines. Each has tasks and a clock of its own; a task's id
is then `port/task`.

Prompts. Only servers that print raw prompts (-lv 5 and above) could let one imitate a line. While lines have time or
are JSON, those without are not believed, so it would have to imitate the clock too; bare lines (--no-log-prefix) of
such a server cannot be told from an imitation.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any, NamedTuple

from exporter.domain.errors import ConfigError
from exporter.domain.events import (
    Closing,
    Completed,
    Counted,
    Dropped,
    Ended,
    FirstToken,
    Heard,
    Ignored,
    Outcome,
    RequestEvent,
    ServerRestarted,
    Started,
    Used,
)
from exporter.domain.lines import Line
from exporter.domain.units import Instant, later
from exporter.requests.reader import RequestReader
from exporter.requests.stamps import Moment, Uptime, is_new_run, moment, time_zone

KNOWS = {
    "start": "execution: a slot takes up the task, after any queueing",
    "first_token": "told at the end, from the prompt's evaluation time",
    "end": "the slot's release, also of cancelled tasks",
    "tokens": "prompt, cached and output; none for cancelled tasks on default verbosity",
    "clock": "microseconds since the server's start (from May 2026, or --log-timestamps); else when a line is read",
}
ADVICE = (
    "llama-server tells all of this by default. Builds before May 2026 stamp no lines: add --log-timestamps "
    "--log-prefix, or let the exporter read the log live or through a container runtime. From b11434, --log-jsonl is "
    "the surest to read."
)

_MOST_TASKS = 65_536
_MOST_SERVERS = 64
_MOST_ANCHORS = 4_096
_HEAD = 400
_JSON_START = '{"type":"log"'
_FOREIGN_LINES = 8  # lines of other threads that may come between a release and its timings

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"(?:\[(\d{1,5})\] )?(?:(\d{1,9})\.(\d\d)\.(\d{3})\.(\d{3}) )?(?:([A-Z]) )?")
_SLOT = re.compile(r"slot +(\w+?)_?(?:\(\))?: id +(\d+) \| task (\d+) \| ?")
_TIMING = re.compile(r" *(prompt eval|eval|total) time = +([\d.]{1,15}) ms(?: / +(\d{1,12}) (?:tokens|runs))?")
_RELEASE = re.compile(r"stop processing: (n_tokens|n_past) = (\d{1,12})")
_PROMPT = re.compile(r"new prompt, .*?(?:task\.n_tokens|n_prompt_tokens) = (\d{1,12})")
_ILL_ENDS: tuple[tuple[re.Pattern[str], Outcome], ...] = (
    (re.compile(r"srv +(?:stop|operator\(\)): +cancel task, id_task = (\d+)"), "aborted"),
    (re.compile(r"srv +send_error: task id = (\d+), error:"), "error"),
)
_LOADING = re.compile(r"srv +load_model: loading model")
_IDLE = "all slots are idle"

_REMEMBERED = Used(())
_HTTP = Ignored("http")
_STARTUP = Ignored("startup")
_PROGRESS = Ignored("progress")
_UNTIMED = Ignored("untimed")
_OTHER = Ignored("other")
_REPEAT = Ignored("repeat")
_ANEW = Ignored("anew")  # never leaves this module
_BAD_JSON = Dropped("bad_json")
_BAD_LINE = Dropped("bad_slot_line")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of llama-server's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source llamacpp has no options")
    time_zone(timezone)
    return LlamaReader()


def survey(lines: Iterable[Line]) -> Mapping[str, Any]:
    """What to restore before reading a whole file back: when each server in it must have started, at the latest.

    The last line of the last server was written when the file was; each earlier server was gone when the next began.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    end = -inf
    for line in lines:
        end = line.not_after
        said = _read(line.text)
        if line.envelope is not None:
            return {}  # a container runtime says when each line was written: the clock anchors itself
        if said is None or said.elapsed is None:
            continue
        runs = spans.setdefault(said.port, [])
        if not runs or is_new_run(runs[-1][1], said.elapsed, starting=_is_starting(said)):
            runs.append((said.elapsed, said.elapsed))
        runs[-1] = (runs[-1][0], max(runs[-1][1], said.elapsed))
    return {"anchors": {port: _anchors(runs[-_MOST_ANCHORS:], end) for port, runs in spans.items()}}


def _anchors(runs: list[tuple[float, float]], end: float) -> list[float]:
    found: list[float] = []
    for first, last in reversed(runs):
        found.append(end - last)
        end = found[-1] + first
    return found[::-1]


class _Said(NamedTuple):
    """A line without its prefix."""

    port: str
    elapsed: float | None
    json: bool
    text: str


def _read(text: str) -> _Said | None:
    """Take the prefix off; None where the line is JSON, but none of llama-server's."""
    if text.startswith("{"):
        return _read_json(text)
    head = text[:_HEAD]
    if "\x1b" in head:
        head = _ANSI.sub("", head)
    found = _PREFIX.match(head)
    assert found  # every part of the pattern is optional
    port, minutes, seconds, millis, micros, _ = found.groups()
    elapsed = None if minutes is None else int(minutes) * 60 + int(seconds) + int(millis) / 1e3 + int(micros) / 1e6
    return _Said(port or "", elapsed, json=False, text=head[found.end() :])


def _read_json(text: str) -> _Said | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    message, micros = record.get("msg"), record.get("time")
    if record.get("type") != "log" or not isinstance(message, str) or type(micros) is not int:
        return None
    return _Said("", micros / 1e6 if 0 <= micros < 1 << 62 else None, json=True, text=message[:_HEAD].rstrip("\n"))


def _is_starting(said: _Said) -> bool:
    return _LOADING.match(said.text) is not None


@dataclass(slots=True)
class _Task:
    """A task on a slot: what its lines said so far."""

    slot: str
    launched: float | None = None  # on the server's clock
    start: float | None = None  # the instant that was told; None while none could be
    prompt_ms: float | None = None
    total_ms: float | None = None
    prompt: int | None = None
    evaluated: int | None = None
    output: int | None = None
    in_slot: int | None = None
    outcome: Outcome = "ok"

    def learn(self, what: str, milliseconds: float, tokens: int | None) -> None:
        """Take one line of the timings."""
        if what == "prompt eval":
            self.prompt_ms, self.evaluated = milliseconds, tokens
        elif what == "eval":
            self.output = tokens
        else:
            self.total_ms = milliseconds

    def tokens(self) -> tuple[int | None, int | None, int | None]:
        """Prompt, cached and output tokens."""
        prompt = self.prompt
        if prompt is None and self.in_slot is not None and self.output is not None:
            prompt = self.in_slot + 1 - self.output  # the last output token never enters the slot
        if prompt is None or self.evaluated is None or not 0 <= self.evaluated <= prompt:
            return prompt if prompt is None or prompt >= 0 else None, None, self.output
        return prompt, prompt - self.evaluated, self.output

    def first_token(self, start: float, end: float) -> Instant | None:
        """When decoding began; None where no timings say so, or absurdly."""
        if self.prompt_ms is None or not self.output:
            return None
        at = start + self.prompt_ms / 1e3
        return Instant(at) if at <= end else None


class _Held(NamedTuple):
    """A release that waits for its timings."""

    task: str
    at: Instant
    uncertainty: float


@dataclass(slots=True)
class _Server:
    """One server process: the only one, or one of a router's."""

    port: str
    clock: Uptime
    tasks: dict[str, _Task] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    block: str | None = None  # the task that bare timing lines belong to
    held: _Held | None = None
    patience: int = 0
    timed: bool = False
    fresh: bool = False  # started, and no task since

    def id(self, task: str) -> str:
        return f"{self.port}/{task}" if self.port else task

    def add(self, task: str, known: _Task) -> _Task:
        self.tasks[task] = known
        if len(self.tasks) > _MOST_TASKS:
            del self.tasks[next(iter(self.tasks))]
        return known

    def when(self, said: _Said, line: Line) -> Moment | None:
        return moment(line, None) if said.elapsed is None else self.clock.at(said.elapsed)


class LlamaReader:
    """Reads the log of one llama-server, or of one router with its servers."""

    def __init__(self) -> None:
        self._servers: dict[str, _Server] = {}
        self._anchors: dict[str, list[float]] = {}

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        said = _read(line.text)
        if said is None:
            return _BAD_JSON if line.text.startswith(_JSON_START) and not line.text.endswith("}") else _OTHER
        server = self._server(said.port)
        anew = said.elapsed is not None and server.clock.hear(said.elapsed, line, starting=_is_starting(said))
        events = self._restart(server, said, line) if anew else ()
        heard = _hear(server, said, line)
        if heard is _ANEW:
            heard = Used(self._restart(server, said, line))
        if not events:
            return heard
        return Used(events + heard.events) if isinstance(heard, Used) else Used(events)

    def snapshot(self) -> Mapping[str, Any]:
        """Clocks, running tasks and the timings read so far, by server."""
        return {"servers": [_saved(server) for server in self._servers.values()], "anchors": self._anchors}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot, or from a survey. An unusable snapshot is as good as none."""
        try:
            servers = [_revived(saved) for saved in snapshot.get("servers", ())]
            anchors = {str(port): [float(one) for one in found] for port, found in snapshot.get("anchors", {}).items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        self._servers, self._anchors = {server.port: server for server in servers}, anchors

    def _server(self, port: str) -> _Server:
        server = self._servers.get(port)
        if server is None:
            if len(self._servers) >= _MOST_SERVERS:
                del self._servers[next(iter(self._servers))]
            server = self._servers[port] = _Server(port, Uptime(self._anchors.pop(port, ())))
        return server

    def _restart(self, server: _Server, said: _Said, line: Line) -> tuple[RequestEvent, ...]:
        when = server.when(said, line) or Moment(line.not_after, 0.0)
        events: list[RequestEvent] = _let_go(server)
        if server.port:  # the router and its other servers run on
            running = [task for task, known in server.tasks.items() if known.start is not None]
            events += [Ended(server.id(task), *when, outcome="aborted", closing="restart") for task in running]
        else:
            events.append(ServerRestarted(when.at))
            self._servers = {"": server}
        server.tasks.clear()
        server.slots.clear()
        server.block, server.fresh = None, True
        return tuple(events)


def _hear(server: _Server, said: _Said, line: Line) -> Heard:
    if said.elapsed is None and not said.json and server.timed:
        # In a log with time, a bare line is the rest of a longer message: timings, or text that anybody wrote.
        return _timing(server, None, said.text) or _UNTIMED
    server.timed = server.timed or said.elapsed is not None or said.json
    if server.held is None:
        return _line(server, said, line)
    server.patience -= 1
    if server.patience > 0 and _IDLE not in said.text and "launch_slot_: " not in said.text:
        return _line(server, said, line)
    late = tuple(_let_go(server))
    heard = _line(server, said, line)
    return Used(late + heard.events) if isinstance(heard, Used) else Used(late)


def _line(server: _Server, said: _Said, line: Line) -> Heard:
    if said.text.startswith("slot"):
        return _slot(server, said, line)
    if said.text.startswith("srv"):
        return _srv(server, said.text)
    return _timing(server, None, said.text) or _OTHER


def _srv(server: _Server, text: str) -> Heard:
    if "log_server_r:" in text:
        return _HTTP
    for pattern, outcome in _ILL_ENDS:
        if found := pattern.match(text):
            if found[1] in server.tasks:
                server.tasks[found[1]].outcome = outcome
            return _REMEMBERED
    if _LOADING.match(text):
        return _STARTUP if server.fresh else _ANEW
    return _OTHER


def _slot(server: _Server, said: _Said, line: Line) -> Heard:
    found = _SLOT.match(said.text)
    if found is None:
        return _PROGRESS  # `task -1`: a slot without a task
    function, slot, task = found.groups()
    rest = said.text[found.end() :]
    if function == "print_timing" and not rest.strip():
        server.block = task
        return _REMEMBERED
    if function == "print_timing":
        return _timing(server, task, rest) or _PROGRESS
    if function == "launch_slot" and rest.startswith("processing task"):
        return _launch(server, slot, task, said, line)
    if function == "release":
        return _release(server, task, rest, server.when(said, line), line)
    return _prompt(server, task, rest)


def _prompt(server: _Server, task: str, rest: str) -> Heard:
    found = _PROMPT.match(rest)
    if found is None or task not in server.tasks:
        return _PROGRESS
    server.tasks[task].prompt = int(found[1])
    return _REMEMBERED


def _launch(server: _Server, slot: str, task: str, said: _Said, line: Line) -> Heard:
    open_task = server.tasks.get(task)
    if open_task is not None and server.slots.get(slot) == task and open_task.launched == said.elapsed:
        return _REPEAT  # task numbers only grow: the line was shipped twice
    when = server.when(said, line)
    events: list[RequestEvent] = []
    for earlier in dict.fromkeys((server.slots.get(slot, task), task)):
        known = server.tasks.pop(earlier, None)
        if known is not None and known.start is not None and when is not None:
            events.append(Ended(server.id(earlier), *when, outcome=known.outcome, closing="reuse"))
    server.slots[slot], server.fresh = task, False
    if len(server.slots) > _MOST_TASKS:
        del server.slots[next(iter(server.slots))]
    server.add(task, _Task(slot, said.elapsed, when.at if when else None))
    if when is not None:
        events.append(Started(server.id(task), *when))
    return Used(tuple(events))


def _timing(server: _Server, task: str | None, text: str) -> Heard | None:
    found = _TIMING.match(text)
    if found is None:
        return None
    what, milliseconds, tokens = found.groups()
    known = server.tasks.get(task or server.block or "")
    if known is None and task is not None:
        known = server.add(task, _Task(""))  # launched before we came: its total tells when
    if known is not None:
        known.learn(what, float(milliseconds), None if tokens is None else int(tokens))
    if what != "total" or task is not None:
        return _REMEMBERED
    complete, server.block = server.block, None
    awaited = server.held is not None and server.held.task == complete
    return Used(tuple(_let_go(server))) if awaited else _REMEMBERED


def _release(server: _Server, task: str, rest: str, when: Moment | None, line: Line) -> Heard:
    found = _RELEASE.match(rest)
    if found is None:
        return _BAD_LINE
    known = server.tasks.get(task) or _Task("")
    server.slots.pop(known.slot, None)
    server.fresh = False
    known.in_slot = int(found[2])
    if when is None:
        server.tasks.pop(task, None)
        return Used((Counted(line.not_after, known.outcome),))
    if found[1] == "n_past" and known.total_ms is None and known.outcome == "ok":
        earlier = tuple(_let_go(server))
        server.tasks[task] = known
        server.held, server.patience = _Held(task, *when), _FOREIGN_LINES
        return Used(earlier)
    server.tasks.pop(task, None)
    return Used(tuple(_ending(server, task, known, when)))


def _let_go(server: _Server) -> list[RequestEvent]:
    """Tell the end that was held back, if any."""
    held, server.held = server.held, None
    known = server.tasks.pop(held.task, None) if held is not None else None
    if held is None or known is None:
        return []
    return _ending(server, held.task, known, Moment(held.at, held.uncertainty))


def _ending(server: _Server, task: str, known: _Task, when: Moment) -> list[RequestEvent]:
    id_, (prompt, cached, output) = server.id(task), known.tokens()
    if known.start is None and (start := _unseen_start(server, known, when)) is not None:
        first = known.first_token(start.at, when.at)
        return [
            Completed(id_, *_pair(start, when), first, 0.0, known.outcome, None, prompt, cached, output),
        ]
    first = None if known.start is None else known.first_token(known.start, when.at)
    closing: Closing = "release" if known.total_ms is None else "finish"
    events: list[RequestEvent] = [] if first is None else [FirstToken(id_, first, when.uncertainty)]
    return [*events, Ended(id_, *when, known.outcome, closing, None, prompt, cached, output)]


def _pair(start: Moment, end: Moment) -> tuple[Instant, Instant, float, float]:
    return start.at, end.at, start.uncertainty, end.uncertainty


def _unseen_start(server: _Server, known: _Task, end: Moment) -> Moment | None:
    """The start of a task that was launched before the clock was anchored, or before we came."""
    if known.launched is not None and (start := server.clock.at(known.launched)):
        return start
    if known.total_ms is None:
        return None
    return Moment(later(end.at, -known.total_ms / 1e3), end.uncertainty)


def _saved(server: _Server) -> Mapping[str, Any]:
    return asdict(server) | {"clock": server.clock.snapshot(), "held": server.held}


def _revived(saved: Mapping[str, Any]) -> _Server:
    clock = Uptime()
    clock.restore(saved["clock"])
    tasks = {str(task): _Task(**known) for task, known in saved["tasks"].items()}
    held = None if saved["held"] is None else _Held(*saved["held"])
    return _Server(**{**saved, "clock": clock, "tasks": tasks, "held": held})
