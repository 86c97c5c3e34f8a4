"""llama-server's log (llama.cpp): slots that take up a task and release it, from September 2024 to b11434.

    launch_slot_    execution begins: the queue is over
    print_timing    three lines, or, until 2026, a header and three bare lines
    release         execution ends

A request is a task; what its lines say is read in slots.py, what is remembered of it and told at its end is in
llamaserver.py. The first token comes a prompt's time after launch.

The order at the end. Timings come before release since b7079, and the end is told at once. b5036 printed release first
(it says `n_past`): there the end is held back until the timings, the next launch, the idle line or a few other lines
have come. All of these follow at once; the end keeps the instant of its release.

Time. Lines carry the time since their process started (`M.SS.mmm.uuu`, or JSON microseconds), or none at all. The start
itself is learnt: each line was read after it was written, so the process started before `read - elapsed`; lines that
the poll before had not seen bound it from below. The bounds tighten with every line. A line that was read back from a
file says only that the start was some time before, so nothing is placed by the clock until it is anchored; a request
that cannot be placed is counted. `survey` anchors a file that is read back as a whole: its last line was just written.

A router runs several servers, each with tasks and a clock of its own; a task's id is then `port/task`.

Prompts. Only servers that print raw prompts (-lv 5 and above) could let one imitate a line. While lines have time or
are JSON, those without are not believed, so it would have to imitate the clock too; bare lines (--no-log-prefix) of
such a server cannot be told from an imitation.
"""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import (
    Counted,
    Dropped,
    Ended,
    Heard,
    Ignored,
    RequestEvent,
    ServerRestarted,
    Started,
    Used,
)
from exporter.domain.lines import Line
from exporter.requests.parts.llamaline import Said, foreign, read
from exporter.requests.parts.llamaserver import MOST_TASKS, Held, Server
from exporter.requests.parts.slots import (
    IDLE,
    Task,
    ill_end,
    is_loading,
    kind,
    prompt_tokens,
    release,
    slot_line,
    timing,
)
from exporter.requests.parts.stamps import Moment, moment, time_zone
from exporter.requests.parts.uptime import Continuity, Runs, Uptime
from exporter.requests.reader import RequestReader

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

_MOST_SERVERS = 64
_MOST_ANCHORS = 4_096
_FOREIGN_LINES = 8  # lines of other threads that may come between a release and its timings

_START_KINDS = frozenset({"startup", "library"})  # what only a start prints

_REMEMBERED = Used(())
_PROGRESS = Ignored("progress")
_UNTIMED = Ignored("untimed")
_REPEAT = Ignored("repeat")
_BAD_LINE = Dropped("bad_slot_line")
_OUT_OF_ORDER = Dropped("out_of_order")


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
    clocks: dict[str, Runs] = {}
    end = -inf
    for line in lines:
        end = line.not_after
        said = read(line.text)
        if line.envelope is not None:
            return {}  # a container runtime says when each line was written: the clock anchors itself
        if said is None or said.elapsed is None:
            continue
        clock, runs = clocks.setdefault(said.port, Runs()), spans.setdefault(said.port, [])
        began = said.elapsed if clock.doubted is None else clock.doubted
        run = clock.hear(said.elapsed, starting=is_loading(said.text))
        if not runs or run == "new":
            runs.append((began, clock.latest))
        runs[-1] = (runs[-1][0], clock.latest)
    return {"anchors": {port: _anchors(runs[-_MOST_ANCHORS:], end) for port, runs in spans.items()}}


def _anchors(runs: list[tuple[float, float]], end: float) -> list[float]:
    found: list[float] = []
    for first, last in reversed(runs):
        found.append(end - last)
        end = found[-1] + first
    return found[::-1]


class LlamaReader:
    """Reads the log of one llama-server, or of one router with its servers."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._anchors: dict[str, list[float]] = {}

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        said = read(line.text)
        if said is None:
            return foreign(line.text)
        server = self._server(said.port)
        run: Continuity = "same"
        if said.elapsed is not None:
            run = server.clock.hear(said.elapsed, line, starting=is_loading(said.text))
        if run == "doubted" and "launch_slot_: " in said.text:
            return _OUT_OF_ORDER  # whose clock it goes by is not known
        began = _began(server, said, line, run)
        events = () if began is None else self._restart(server, began)
        return _after(events, _hear(server, said, line))

    def snapshot(self) -> Mapping[str, Any]:
        """Clocks, running tasks and the timings read so far, by server."""
        return {"servers": [server.snapshot() for server in self._servers.values()], "anchors": self._anchors}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot, or from a survey. An unusable snapshot is as good as none."""
        try:
            servers = [Server.from_snapshot(saved) for saved in snapshot.get("servers", ())]
            anchors = {str(port): [float(one) for one in found] for port, found in snapshot.get("anchors", {}).items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        self._servers, self._anchors = {server.port: server for server in servers}, anchors

    def _server(self, port: str) -> Server:
        server = self._servers.get(port)
        if server is None:
            if len(self._servers) >= _MOST_SERVERS:
                del self._servers[next(iter(self._servers))]
            server = self._servers[port] = Server(port, Uptime(self._anchors.pop(port, ())))
        return server

    def _restart(self, server: Server, when: Moment) -> tuple[RequestEvent, ...]:
        events: list[RequestEvent] = server.let_go()
        if server.port:  # the router and its other servers run on
            running = [task for task, known in server.tasks.items() if known.start is not None]
            events += [Ended(server.id(task), *when, outcome="aborted", closing="restart") for task in running]
        else:
            events.append(ServerRestarted(when.at))
            self._servers = {"": server}
        server.tasks.clear()
        server.slots.clear()
        server.block, server.fresh, server.loading = None, True, None
        return tuple(events)


def _after(events: tuple[RequestEvent, ...], heard: Heard) -> Heard:
    if not events:
        return heard
    return Used(events + heard.events) if isinstance(heard, Used) else Used(events)


def _began(server: Server, said: Said, line: Line, run: Continuity) -> Moment | None:
    """When the server started anew, where this line shows that it did.

    A clock shows it. Without one, the line that says so may be an old one that came late or twice, or a model that is
    loaded again, so the lines behind it must be a start's as well.
    """
    if run == "new":
        return server.clock.began() or Moment(line.not_after, 0.0)
    loading = is_loading(said.text)
    if said.elapsed is not None:
        first = loading and run == "same" and server.fresh is None
        return server.clock.at(said.elapsed) or Moment(line.not_after, 0.0) if first else None
    if said.json or server.timed:
        return None
    if loading and not server.fresh:
        server.loading = moment(line, None) or Moment(line.not_after, 0.0)
    elif server.loading is not None and (said.text.startswith("slot") or timing(said.text)):
        server.loading = None
    elif server.loading is not None and kind(said.text).reason in _START_KINDS:
        return server.loading
    return None


def _hear(server: Server, said: Said, line: Line) -> Heard:
    if said.elapsed is None and not said.json and server.timed:
        # In a log with time, a bare line is the rest of a longer message: timings, or text that anybody wrote.
        return _timing(server, None, said.text) or _UNTIMED
    server.timed = server.timed or said.elapsed is not None or said.json
    if server.held is None:
        return _line(server, said, line)
    server.patience -= 1
    if server.patience > 0 and IDLE not in said.text and "launch_slot_: " not in said.text:
        return _line(server, said, line)
    return _after(tuple(server.let_go()), _line(server, said, line))


def _line(server: Server, said: Said, line: Line) -> Heard:
    if said.text.startswith("slot"):
        return _slot(server, said, line)
    if ended := ill_end(said.text):
        task, outcome = ended
        if task in server.tasks:
            server.tasks[task].outcome = outcome
        return _REMEMBERED
    return _timing(server, None, said.text) or kind(said.text)


def _slot(server: Server, said: Said, line: Line) -> Heard:
    found = slot_line(said.text)
    if found is None:
        return _PROGRESS  # `task -1`: a slot without a task
    function, slot, task, rest = found
    if function == "print_timing":
        return _timings(server, task, rest)
    if function == "launch_slot" and rest.startswith("processing task"):
        return _launch(server, slot, task, said, line)
    if function == "release":
        return _release(server, task, rest, server.when(said, line), line)
    prompt = prompt_tokens(rest)
    if prompt is None or task not in server.tasks:
        return _PROGRESS
    server.tasks[task].prompt = prompt
    return _REMEMBERED


def _launch(server: Server, slot: str, task: str, said: Said, line: Line) -> Heard:
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
    if len(server.slots) > MOST_TASKS:
        del server.slots[next(iter(server.slots))]
    server.add(task, Task(slot, said.elapsed, when.at if when else None))
    if when is not None:
        events.append(Started(server.id(task), *when))
    return Used(tuple(events))


def _timings(server: Server, task: str, rest: str) -> Heard:
    if rest.strip():
        return _timing(server, task, rest) or _PROGRESS
    server.block = task
    return _REMEMBERED


def _timing(server: Server, task: str | None, text: str) -> Heard | None:
    said = timing(text)
    if said is None:
        return None
    known = server.tasks.get(task or server.block or "")
    if known is None and task is not None:
        known = server.add(task, Task(""))  # launched before we came: its total tells when
    if known is not None:
        known.learn(said)
    if said.what != "total" or task is not None:
        return _REMEMBERED
    complete, server.block = server.block, None
    awaited = server.held is not None and server.held.task == complete
    return Used(tuple(server.let_go())) if awaited else _REMEMBERED


def _release(server: Server, task: str, rest: str, when: Moment | None, line: Line) -> Heard:
    found = release(rest)
    if found is None:
        return _BAD_LINE
    known = server.tasks.get(task) or Task("")
    server.slots.pop(known.slot, None)
    server.fresh = False
    known.in_slot = found.in_slot
    if when is None:
        server.tasks.pop(task, None)
        return Used((Counted(line.not_after, known.outcome),))
    if found.timings_follow and known.total_ms is None and known.outcome == "ok":
        earlier = tuple(server.let_go())
        server.tasks[task] = known
        server.held, server.patience = Held(task, *when), _FOREIGN_LINES
        return Used(earlier)
    server.tasks.pop(task, None)
    return Used(tuple(server.ending(task, known, when)))
