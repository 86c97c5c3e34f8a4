"""llama-server b10434: a clock since process start, slots and tasks instead of ids, timings at the end.

The first token has no line of its own: it is the launch plus the prompt eval time. A cancelled task has no timings.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from exporter.domain.units import Instant, later
from exporter.simulate.batching import Run, Served
from tests.simulation.logs import LogLine, in_order

_PROGRESS_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Task:
    """Which slot and task number a request got, and when that slot was last used (-1: never)."""

    slot: int
    number: int
    last_used_us: int


def llamacpp_log(run: Run, rng: np.random.Generator) -> list[LogLine]:
    """Everything on standard error of a server whose process began at `run.begin`."""
    tasks = llamacpp_tasks(run, rng)
    lines = [line for served in run.served for line in _lines(served, tasks[served.id], rng)]
    return [LogLine(at, _prefix(at - run.begin) + text) for at, text in in_order([*_start_up(run), *lines])]


def llamacpp_tasks(run: Run, rng: np.random.Generator) -> dict[str, Task]:
    """Slot and task of each request: the slot longest unused, a task number that only grows."""
    free = deque((slot, -1) for slot in reversed(range(run.scheduler.max_num_seqs)))
    running: list[tuple[float, int]] = []
    tasks: dict[str, Task] = {}
    number = 0
    for served in sorted(run.served, key=lambda one: one.start):
        running, over = _part(running, served.start)
        free.extend((slot, round((end - run.begin) * 1e6)) for end, slot in over)
        slot, last_used_us = free.popleft()
        tasks[served.id] = Task(slot, number, last_used_us)
        running.append((served.end, slot))
        number += int(rng.integers(1, 40))
    return tasks


def _part(running: list[tuple[float, int]], now: float) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """Those still running at `now`, and those over by then in order of their ends."""
    return [one for one in running if one[0] > now], sorted(one for one in running if one[0] <= now)


def _prefix(seconds: float) -> str:
    """`minutes.seconds.ms.us`; the minutes have no bound."""
    us = int(seconds * 1e6)
    return f"{us // 60_000_000}.{us // 1_000_000 % 60:02}.{us // 1000 % 1000:03}.{us % 1000:03} "


def _start_up(run: Run) -> Iterator[LogLine]:
    slots = f"n_slots = {run.scheduler.max_num_seqs}, n_ctx_slot = 8192, kv_unified = 'false'"
    yield LogLine(later(run.begin, 0.0024), "I cmn  common_param: common_params_print_info: verbosity = 3")
    yield LogLine(later(run.begin, 0.0041), f"I srv    load_model: loading model '{run.physics.model}.gguf'")
    yield LogLine(later(run.begin, 0.282), f"I srv    load_model: initializing, {slots}")
    yield LogLine(later(run.begin, 0.284), "I srv  llama_server: model loaded")
    yield LogLine(later(run.begin, 0.285), "I srv  llama_server: listening on http://127.0.0.1:8080")


def _lines(served: Served, task: Task, rng: np.random.Generator) -> Iterator[LogLine]:
    # A slot is released within 90 us of an end and taken from 100 us after a start: never before it is free.
    found = later(served.start, rng.uniform(100e-6, 200e-6))
    choice = f"selected slot by LRU, t_last = {task.last_used_us}"
    yield LogLine(found, f"I slot get_availabl: id {task.slot:2} | task -1 | {choice}")
    yield LogLine(later(found, 140e-6), f"I slot launch_slot_: {_who(task)} processing task, is_child = 0")
    yield from _progress(served, task)
    yield from _cancelled(served, task) if served.outcome == "aborted" else _finished(served, task)


def _who(task: Task) -> str:
    return f"id {task.slot:2} | task {task.number} |"


def _progress(served: Served, task: Task) -> Iterator[LogLine]:
    """A sign of life every three seconds of generation."""
    lasts = served.end - served.first_token
    for after in np.arange(_PROGRESS_SECONDS, lasts, _PROGRESS_SECONDS).tolist():
        n_gen = int(served.output_tokens * after / lasts)
        rate = f"tg = {n_gen / after:6.2f} t/s, tg_3s = {n_gen / after:6.2f} t/s"
        yield LogLine(later(served.first_token, after), f"I slot print_timing: {_who(task)} n_gen = {n_gen:6}, {rate}")


def _finished(served: Served, task: Task) -> Iterator[LogLine]:
    start, first, end = served.start, served.first_token, served.end
    prompt_tokens = served.prompt_tokens - served.cached_tokens
    total = f"{(end - start) * 1e3:10.2f} ms / {prompt_tokens + served.output_tokens:5} tokens"
    timings = (
        f"prompt eval time = {_eval(first - start, prompt_tokens)}",
        f"       eval time = {_eval(end - first, served.output_tokens)}",
        f"      total time = {total}",
        f"   graphs reused = {served.output_tokens:10}",
    )
    for place, timing in enumerate(timings):
        yield LogLine(later(end, (20 + place) * 1e-6), f"I slot print_timing: {_who(task)} {timing}")
    yield _release(end, task, served.prompt_tokens + served.output_tokens - 1)


def _eval(seconds: float, tokens: int) -> str:
    ms = seconds * 1e3
    rates = f"({ms / tokens:8.2f} ms per token, {tokens / seconds if seconds > 0.0 else 1e6:8.2f} tokens per second)"
    return f"{ms:10.2f} ms / {tokens:5} tokens {rates}"


def _cancelled(served: Served, task: Task) -> Iterator[LogLine]:
    yield LogLine(later(served.end, -1e-3), f"W srv          stop: cancel task, id_task = {task.number}")
    yield _release(served.end, task, served.prompt_tokens + served.output_tokens)


def _release(end: Instant, task: Task, tokens: int) -> LogLine:
    return LogLine(
        later(end, 80e-6), f"I slot      release: {_who(task)} stop processing: n_tokens = {tokens}, truncated = 0"
    )
