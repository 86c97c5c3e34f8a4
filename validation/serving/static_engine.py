"""What serves where continuous batching cannot: static batches, by a plain loop.

Requests that wait are taken together, padded on the left to the same length, and run until the last of them is done;
those that come meanwhile wait, and those that are done are computed on and thrown away. This is no continuous batching:
whoever uses it has to say so.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from validation.serving.batching_engine import Hear, Heard
from validation.serving.run import Bearing

_LOOK_SECONDS = 0.1


@dataclass
class _Row:
    """A request on its way through the loop."""

    name: str
    prompt: list[int]
    asked: int
    hear: Hear
    tokens: list[int] = field(default_factory=list)
    started: float | None = None
    dropped: bool = False

    @property
    def over(self) -> bool:
        return self.dropped or len(self.tokens) >= self.asked

    def tell(self, error: str = "") -> None:
        done = bool(error) or len(self.tokens) >= self.asked
        ended = time.perf_counter() if done else None
        if not self.dropped:
            self.hear(Heard(list(self.tokens), done, self.started, ended, error))


class StaticEngine:
    """Batches that no one joins later."""

    def __init__(self, model: Any, bearing: Bearing) -> None:
        self._model, self._most = model, bearing.concurrency
        self._waiting: list[_Row] = []
        self._running: list[_Row] = []
        self._some = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="static batches", daemon=True)

    def start(self) -> None:
        """Be ready for requests."""
        self._thread.start()

    def submit(self, name: str, prompt: Sequence[int], tokens: int, hear: Hear) -> bool:
        """Take up a request for exactly so many tokens."""
        loop = asyncio.get_running_loop()
        return self._put(_Row(name, list(prompt), tokens, lambda heard: _called(loop, hear, heard)))

    def cancel(self, name: str) -> float | None:
        """Drop it, before the next step."""
        with self._some:
            found = next((row for row in (*self._running, *self._waiting) if row.name == name), None)
            if found is None:
                return None
            found.dropped = True
            self._waiting = [row for row in self._waiting if not row.dropped]
            return found.started

    def counts(self) -> tuple[int, int]:
        """Requests that run, and that wait."""
        return sum(not row.over for row in self._running), len(self._waiting)

    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Drop all and end."""
        with self._some:
            self._stopped = True
            self._some.notify()
        if self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS * 50)

    def first_tokens(self, prompts: Sequence[Sequence[int]], tokens: int, seconds: float) -> list[list[int]]:
        """Run these at once and wait."""
        told: dict[int, Heard] = {}
        for at, prompt in enumerate(prompts):
            self._put(_Row(f"proof-{at}", list(prompt), tokens, partial(told.__setitem__, at)))
        until = time.monotonic() + seconds
        while len(told) < len(prompts) or not all(heard.finished for heard in told.values()):
            if time.monotonic() >= until or not self.alive():
                raise TimeoutError(f"{len(told)} of {len(prompts)} requests had tokens after {seconds:g} s")
            time.sleep(_LOOK_SECONDS / 10)
        failed = next((heard.error for heard in told.values() if heard.error), "")
        if failed:
            raise RuntimeError(failed)
        return [list(told[at].tokens) for at in range(len(prompts))]

    def _put(self, row: _Row) -> bool:
        with self._some:
            if self._stopped or not self.alive():
                return False
            self._waiting.append(row)
            self._some.notify()
        return True

    def _run(self) -> None:
        while not self._stopped:
            with self._some:
                self._some.wait_for(lambda: self._waiting or self._stopped, _LOOK_SECONDS)
                self._running, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                self._batch(self._running)
            except Exception as error:  # noqa: BLE001 - who waits must hear of it
                for row in (*self._running, *self._waiting):
                    row.tell(f"{type(error).__name__}: {error}")
                return

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _batch(self, rows: list[_Row]) -> None:
        if not rows:
            return
        device, longest = self._model.device, max(len(row.prompt) for row in rows)
        pads = [longest - len(row.prompt) for row in rows]
        inputs = torch.tensor([[0] * pad + row.prompt for pad, row in zip(pads, rows, strict=True)], device=device)
        seen = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads], device=device)
        cache, started = None, time.perf_counter()
        for row in rows:
            row.started = started
        while not self._stopped and not all(row.over for row in rows):
            places = (seen.cumsum(-1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
            out = self._model(
                input_ids=inputs,
                attention_mask=seen,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, inputs = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
            seen = torch.cat([seen, torch.ones_like(inputs)], dim=1)
            _append(rows, inputs[:, 0].tolist())


def _append(rows: Sequence[_Row], tokens: Sequence[int]) -> None:
    for row, token in zip(rows, tokens, strict=True):
        if not row.over:
            row.tokens.append(token)
            row.tell()


def _called(loop: asyncio.AbstractEventLoop, hear: Hear, heard: Heard) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(hear, heard)
