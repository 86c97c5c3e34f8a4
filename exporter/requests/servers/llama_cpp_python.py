"""llama-cpp-python's server: uvicorn's access lines, and, with --verbose true, llama.cpp's timings of each execution.

    Llama.generate: 24 prefix-match hit, remaining 30 prompt tokens to eval    it begins; only where a cache held some
    llama_perf_context_print: prompt eval time =     110.48 ms /    30 tokens
    llama_perf_context_print:        eval time =     587.20 ms /    59 runs
    llama_perf_context_print:       total time =     776.37 ms /    89 tokens  it ends

Requests run one after the other, so a block of timings is one execution, and nothing need say whose: it ended when its
last line was read, and began a total time before. Neither line has a time, so what is read back is only counted. Access
lines then tell nothing more, but for requests that were refused. (A chat format that calls functions may run several
executions for a request; each is told.) Without --verbose there are only access lines, which count.

Tokens. Runs are decoding steps: the first token comes from the prompt's evaluation, so there is one more, the end token
included. A prompt of which one token was left to evaluate spends a run on that. A single run of no time may as well be
an embedding. Some builds time the prompt wrongly (0.1 ms for 38 tokens): less than half a decoding step is not
believed, and no first token told.

An execution whose client leaves has no block. It is told, as aborted, when the next one begins or the server stops, up
to the moment its client was seen to leave. A client that leaves while its request waits is counted as aborted.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Counted, Heard, Ignored, RequestEvent, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant, later
from exporter.requests.parts.access import access
from exporter.requests.parts.chatter import SHUTDOWN, STARTUP, logged, printed
from exporter.requests.parts.slots import Timing, kind, timing
from exporter.requests.parts.stamps import Moment, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "execution, with --verbose true and read live; else requests are only counted",
    "first_token": "with --verbose true and read live, where the build times prompts rightly",
    "end": "with --verbose true and read live, also of clients that left; else no",
    "tokens": "prompt, cached and output, with --verbose true and read live",
    "clock": "none: when a line is read",
}
ADVICE = (
    "Run the server with --verbose true (the default) and let the exporter read its log live or through a container "
    "runtime: then executions tell their time and tokens. Without it, put the exporter's proxy, or a gateway with a "
    "log, before it. Give it X-Request-Id only if that is a UUID: it refuses others. Its default of "
    "--interrupt_requests true cuts a stream when the next request comes."
)

_HEAD = 512
_BLOCK = re.compile(r"llama_(?:perf_context_print|print_timings): ?")
_GENERATE = re.compile(r"Llama\.generate: (?:(\d{1,12}) )?prefix-match hit(?:, remaining (\d{1,12}) prompt tokens)?")
_LOGGED = re.compile(r"(TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL): +([^\n]*)")
_LEFT = ("disconnected", "Disconnected from client ")
_VERBOSE = ("llama_", "ggml_", "load_tensors: ", "print_info: ", "create_tensor: ", "graph_reserve: ")

_REMEMBERED = Used(())
_ACCESS_LINE = Ignored("access_line")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_DETAIL = Ignored("request_detail")
_DISCONNECT = Ignored("disconnect")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of llama-cpp-python's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source llama_cpp_python has no options")
    time_zone(timezone)
    return LlamaCppPythonReader()


_Block = Mapping[str, tuple[float, int | None]]
"""Timings by their name: milliseconds and tokens."""


@dataclass(slots=True)
class _Begun:
    """An execution that was seen to begin: when, and what of its prompt a cache held, if that was said."""

    at: float | None
    uncertainty: float
    cached: int | None
    remaining: int | None
    left_at: float | None = None  # when a client was seen to leave since: its own, or one that waited
    left_uncertainty: float = 0.0

    @property
    def prompt(self) -> int | None:
        """All tokens of the prompt."""
        return None if self.cached is None or self.remaining is None else self.cached + self.remaining

    def fits(self, block: _Block) -> bool:
        """Whether these timings can be this execution's: they evaluated what it had left to evaluate."""
        evaluated = block.get("prompt eval", (0.0, None))[1]
        return self.remaining is None or evaluated in (None, 0, self.remaining)


@dataclass(slots=True)
class _State:
    """All that is remembered."""

    verbose: bool = False
    whole: bool = False  # since this execution's begin nothing was missed: no line about a cache means none
    begun: _Begun | None = None
    block: dict[str, tuple[float, int | None]] = field(default_factory=dict)
    nameless: int = 0


class LlamaCppPythonReader:
    """Reads one llama-cpp-python server's log."""

    def __init__(self) -> None:
        self._state = _State()

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        text = line.text[:_HEAD]
        if found := _BLOCK.match(text):
            return self._timing(timing(text[found.end() :]), line)
        if found := _GENERATE.match(text):
            return self._begin(*(None if one is None else int(one) for one in found.groups()), line=line)
        if text.startswith(_LEFT):
            return self._left(line)
        if not text[:1].isspace() and (said := access(text)):
            return self._access(said.status, line) if said.asks_inference else _OTHER_ENDPOINT
        return self._other(text, line)

    def snapshot(self) -> Mapping[str, Any]:
        """The execution that was seen to begin, the timings read so far, and what kind of log this is."""
        return asdict(self._state)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            begun = snapshot["begun"]
            self._state = _State(
                bool(snapshot["verbose"]),
                bool(snapshot["whole"]),
                None if begun is None else _Begun(**begun),
                {str(what): (float(ms), tokens) for what, (ms, tokens) in snapshot["block"].items()},
                int(snapshot["nameless"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return

    # One line

    def _begin(self, cached: int | None, remaining: int | None, *, line: Line) -> Heard:
        when = moment(line, None)
        events = self._cut_short(when, line)
        at, uncertainty = (None, 0.0) if when is None else when
        self._state.begun, self._state.verbose = _Begun(at, uncertainty, cached, remaining), True
        return Used(events)

    def _timing(self, said: Timing | None, line: Line) -> Heard:
        self._state.verbose = True
        if said is None:
            return _DETAIL
        self._state.block[said.what] = (said.milliseconds, said.tokens)
        return self._end(line) if said.what == "total" else _REMEMBERED

    def _left(self, line: Line) -> Heard:
        begun = self._state.begun
        if begun is None:
            return _DISCONNECT
        if begun.left_at is None:
            begun.left_at, begun.left_uncertainty = moment(line, None) or (line.not_after, 0.0)
        return _REMEMBERED

    def _access(self, status: int, line: Line) -> Heard:
        if status < 400 and self._state.verbose:
            return _ACCESS_LINE
        when = moment(line, None)
        return Used((Counted(when.at if when else line.not_after, "ok" if status < 400 else "error"),))

    def _other(self, text: str, line: Line) -> Heard:
        found = _LOGGED.match(text)
        if found is None:
            self._state.verbose = self._state.verbose or text.startswith(_VERBOSE)
            said = kind(text)
            return said if said.reason == "library" else printed(text)
        level, message = found.groups()
        if message.startswith("Started server process"):
            return self._started(line)
        said = logged(level, message, starting=message.startswith(("Waiting for", "Application", "Uvicorn")))
        if said is not SHUTDOWN:
            return said
        events = self._cut_short(moment(line, None), line)
        self._state.begun, self._state.verbose = None, self._state.verbose and not message.startswith("Finished")
        return Used(events) if events else said

    def _started(self, line: Line) -> Heard:
        begun, self._state.begun, self._state.whole = self._state.begun, None, True
        self._state.block = {}
        # What ran when the process before this one died ended at nobody knows when.
        return STARTUP if begun is None else Used((Counted(line.not_after, "aborted"),))

    # Executions

    def _end(self, line: Line) -> Heard:
        state, when = self._state, moment(line, None)
        block, begun = state.block, state.begun
        events: tuple[RequestEvent, ...] = ()
        if begun is not None and not begun.fits(block):  # it is a later execution, which found nothing in a cache
            events, begun = self._cut_short(when, line), None
        elif begun is not None and begun.left_at is not None:
            events = (Counted(Instant(begun.left_at), "aborted"),)
        ended = self._ended(block, begun, when) if when else Counted(line.not_after)
        state.begun, state.block, state.whole = None, {}, True
        return Used((*events, ended))

    def _ended(self, block: _Block, begun: _Begun | None, end: Moment) -> Completed:
        total_ms = block["total"][0]
        prompt_ms, evaluated = block.get("prompt eval", (0.0, None))
        eval_ms, runs = block.get("eval", (0.0, None))
        cached, remaining = (begun.cached, begun.remaining) if begun else (0 if self._state.whole else None, evaluated)
        prompt = None if cached is None or remaining is None else cached + remaining
        start = later(end.at, -total_ms / 1e3)
        believed = runs is not None and 0.0 < 0.5 * eval_ms / max(runs, 1) <= prompt_ms <= total_ms
        return Completed(
            self._name(),
            start,
            end.at,
            end.uncertainty,
            end.uncertainty,
            first_token=later(start, prompt_ms / 1e3) if believed else None,
            prompt_tokens=prompt,
            cached_tokens=None if prompt is None else cached,
            output_tokens=_output(runs, eval_ms, evaluated, None if begun is None else remaining),
        )

    def _cut_short(self, when: Moment | None, line: Line) -> tuple[RequestEvent, ...]:
        """Tell the execution that has begun and can have no timings any more, if there is one."""
        begun, self._state.begun = self._state.begun, None
        self._state.block = {}
        if begun is None:
            return ()
        if begun.at is None or when is None:
            return (Counted(line.not_after, "aborted"),)
        at, uncertainty = when if begun.left_at is None else (begun.left_at, begun.left_uncertainty)
        span = (Instant(begun.at), Instant(max(begun.at, at)), begun.uncertainty, uncertainty)
        prompt, cached = begun.prompt, begun.cached if begun.prompt is not None else None
        return (Completed(self._name(), *span, outcome="aborted", prompt_tokens=prompt, cached_tokens=cached),)

    def _name(self) -> str:
        self._state.nameless += 1
        return f"#{self._state.nameless}"


def _output(runs: int | None, eval_ms: float, evaluated: int | None, remaining: int | None) -> int | None:
    """The tokens that so many runs gave."""
    if runs is None or (eval_ms == 0.0 and runs <= 1):
        return None
    if remaining == 1 or evaluated == 0:
        return runs
    return None if remaining is None and evaluated in (None, 1) else runs + 1
