"""What llama-server's lines say about one slot and its task, whoever prints them: llama-server itself, or Ollama.

    slot launch_slot_: id  3 | task 0 | processing task
    slot print_timing: id  3 | task 0 | prompt eval time =  101.09 ms /  38 tokens
    slot print_timing: id  3 | task 0 |        eval time =  551.99 ms /  30 tokens
    slot print_timing: id  3 | task 0 |       total time =  653.07 ms /  68 tokens
    slot      release: id  3 | task 0 | stop processing: n_tokens = 67

Timings count the prompt without what the cache held; release counts all tokens in the slot, one less than prompt and
output, because the last output token never enters it. Lines without a prefix are meant here, each at its start.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from exporter.domain.events import Ignored, Outcome
from exporter.domain.units import Instant

IDLE = "all slots are idle"

_SLOT = re.compile(r"slot +(\w+?)_?(?:\(\))?: id +(\d{1,12}) \| task (\d{1,12}) \| ?")
_TIMING = re.compile(r" *(prompt eval|eval|total) time = +([\d.]{1,15}) ms(?: / +(\d{1,12}) (?:tokens|runs))?")
_RELEASE = re.compile(r"stop processing: (n_tokens|n_past) = (\d{1,12})")
_PROMPT = re.compile(r"new prompt, .*?(?:task\.n_tokens|n_prompt_tokens) = (\d{1,12})")
_ILL_ENDS: tuple[tuple[re.Pattern[str], Outcome], ...] = (
    (re.compile(r"srv +(?:stop|operator\(\)): +cancel task, id_task = (\d{1,12})"), "aborted"),
    (re.compile(r"srv +send_error: task id = (\d{1,12}), error:"), "error"),
)
_LOADING = re.compile(r"srv +load_model: loading model")
_KINDS = (
    ("http", re.compile(r"srv +log_server_r: ")),
    ("idle", re.compile(rf"srv +update_slots: {IDLE}")),
    ("prompt_cache", re.compile(r"srv +(?:load|update|get_availabl|prompt_save): ")),
    ("request_detail", re.compile(r"srv +(?:operator\(\)|server_strea|params_from_): ")),
    ("startup", re.compile(r"srv +(?:llama_server|load_model|init\w*|start): ")),
    ("server", re.compile(r"srv  ")),
    ("format_of_2024", re.compile(r"(?:INFO|WARN|ERR|ERROR|VERB|DEBUG) \[ *\w+\] ")),
    ("library", re.compile(r"(?:(?:cmn|spec) +)?[a-z]\w*(?: info|\(\))?: ")),
)


class SlotLine(NamedTuple):
    """A line about a task on a slot: the function that printed it, and what it said of them."""

    function: str
    slot: str
    task: str
    rest: str


class Timing(NamedTuple):
    """One line of a task's timings: `prompt eval`, `eval` or `total`."""

    what: str
    milliseconds: float
    tokens: int | None


class Release(NamedTuple):
    """The end of a task on its slot; servers that said `n_past` print the timings after it."""

    in_slot: int
    timings_follow: bool


def slot_line(text: str) -> SlotLine | None:
    """What the line says about a slot and its task, if it is such a line."""
    found = _SLOT.match(text)
    return SlotLine(found[1], found[2], found[3], text[found.end() :]) if found else None


def timing(text: str) -> Timing | None:
    """The timing in this text, which may follow a slot's name or stand on a line of its own."""
    found = _TIMING.match(text)
    if found is None:
        return None
    try:
        return Timing(found[1], float(found[2]), None if found[3] is None else int(found[3]))
    except ValueError:  # more than one point
        return None


def release(rest: str) -> Release | None:
    """What a slot's release says."""
    found = _RELEASE.match(rest)
    return Release(int(found[2]), found[1] == "n_past") if found else None


def prompt_tokens(rest: str) -> int | None:
    """All tokens of the prompt, which a verbose server tells when it begins with it."""
    found = _PROMPT.match(rest)
    return int(found[1]) if found else None


def ill_end(text: str) -> tuple[str, Outcome] | None:
    """A task that is cancelled or failed, and how it thus ends."""
    for pattern, outcome in _ILL_ENDS:
        if found := pattern.match(text):
            return found[1], outcome
    return None


def is_loading(text: str) -> bool:
    """Whether a server says that it loads a model: once at its start, as a rule."""
    return text.startswith("srv") and _LOADING.match(text) is not None


def kind(text: str) -> Ignored:
    """Which kind of line this is that says nothing about a slot: from its head, and never from what a prompt says."""
    for reason, pattern in _KINDS:
        if pattern.match(text):
            return Ignored(reason)
    return Ignored("continuation")  # the rest of a longer message


@dataclass(slots=True)
class Task:
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

    def learn(self, said: Timing) -> None:
        """Take one line of the timings."""
        if said.what == "prompt eval":
            self.prompt_ms, self.evaluated = said.milliseconds, said.tokens
        elif said.what == "eval":
            self.output = said.tokens
        else:
            self.total_ms = said.milliseconds

    def tokens(self) -> tuple[int | None, int | None, int | None]:
        """Prompt, cached and output tokens."""
        prompt = self.prompt
        if prompt is None and self.in_slot is not None and self.output is not None:
            prompt = self.in_slot + 1 - self.output
        if prompt is None or self.evaluated is None or not 0 <= self.evaluated <= prompt:
            return prompt if prompt is None or prompt >= 0 else None, None, self.output
        return prompt, prompt - self.evaluated, self.output

    def first_token(self, start: float, end: float) -> Instant | None:
        """When decoding began; None where no timings say so, or absurdly."""
        if self.prompt_ms is None or not self.output:
            return None
        at = start + self.prompt_ms / 1e3
        return Instant(at) if at <= end else None
