"""Many requests as the logs of real servers, made fast: no engine decides when they end, because only cost is asked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from exporter.domain.units import Instant, Joules, later
from exporter.simulate.batching import BEGIN, Run, Scheduler, Served, Steps
from exporter.simulate.load import Request
from exporter.simulate.physics import EIGHT_B
from tests.simulation.logs import LogLine, in_order
from tests.simulation.logs.jsonl import jsonl_log
from tests.simulation.logs.llamacpp import llamacpp_log
from tests.simulation.logs.vllm import vllm_log

MODELS = ("llama-3.1-8b", "qwen3-14b", "gpt-oss-20b")

JSONL_FIELDS: dict[str, Any] = {
    "id": "id",
    "start": {"path": "start", "unit": "s"},
    "first_token": {"path": "first_token", "unit": "s"},
    "end": {"path": "end", "unit": "s"},
    "model": "model",
    "prompt_tokens": "prompt_tokens",
    "output_tokens": "output_tokens",
    "outcome": {"path": "status", "ok": ["ok"], "aborted": ["aborted"]},
}
"""How the fields of the simulation's JSON log are named."""

_NONE, _NO_COUNTS = np.zeros(0), np.zeros(0, dtype=np.int64)
_NO_STEPS = Steps(_NONE, _NONE, _NONE, _NO_COUNTS, _NO_COUNTS, _NO_COUNTS, _NO_COUNTS)


def invented_run(count: int, rate: float, *, begin: Instant = BEGIN, seed: int = 1) -> Run:
    """`count` requests at `rate` a second, of four seconds each on average; their joules are nobody's question."""
    rng = np.random.default_rng(seed)
    arrivals = begin + 1.0 + np.cumsum(rng.exponential(1.0 / rate, count))
    waits = rng.uniform(0.02, 0.3, count)
    tokens = np.clip(rng.lognormal(5.0, 0.7, count), 10, 1000).astype(int)
    served = tuple(
        _served(f"{number:032x}", at, wait, output, prompt)
        for number, (at, wait, output, prompt) in enumerate(
            zip(arrivals.tolist(), waits.tolist(), tokens.tolist(), rng.integers(20, 4000, count).tolist(), strict=True)
        )
    )
    scheduler = Scheduler(max_num_seqs=_most_at_once(served), step_tokens=1 << 20)
    return Run(EIGHT_B, scheduler, begin, later(Instant(max(one.end for one in served)), 1.0), _NO_STEPS, served)


def _served(id_: str, at: float, wait: float, output: int, prompt: int) -> Served:
    start = Instant(at)
    first = later(start, wait)
    request = Request(id_, at, prompt, output)
    return Served(request, start, start, first, later(first, 0.02 * output), output, "ok", Joules(0.0), Joules(0.0))


def _most_at_once(served: Sequence[Served]) -> int:
    changes = sorted([(one.start, 1) for one in served] + [(one.end, -1) for one in served])
    return int(np.cumsum([change for _, change in changes]).max()) + 1


def _of_many_models(run: Run) -> list[LogLine]:
    """The same log with requests shared out among models."""
    parts = [
        replace(run, served=run.served[number :: len(MODELS)], physics=replace(run.physics, model=model))
        for number, model in enumerate(MODELS)
    ]
    return in_order(line for part in parts for line in jsonl_log(part))


LOGS: dict[str, Callable[[Run], list[LogLine]]] = {
    "jsonl": _of_many_models,
    "llamacpp": lambda run: llamacpp_log(run, np.random.default_rng(1)),
    "vllm": lambda run: vllm_log(run, np.random.default_rng(1)),
}
"""A run as each reader's log."""

OPTIONS: dict[str, dict[str, Any]] = {"jsonl": {"fields": JSONL_FIELDS}, "llamacpp": {}, "vllm": {}}
"""What each reader is told to understand it."""
