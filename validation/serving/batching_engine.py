"""Transformers' continuous batching on random weights, and how it is made to run on a machine that nobody has tried.

Theory of operation. A model of the wanted shapes is made on the device itself, its weights random; no token ends a
request. `ContinuousBatchingManager` runs it in a thread of its own: at each step new requests join and finished ones
leave. How attention is computed is tried in this order, and the first that proves itself is taken:

    flash         FlashAttention as PyTorch ships it (see `paged_flash`)
    sdpa          Transformers' own for continuous batching; every query meets all keys, masked: slow in large batches
    eager         the same without fused kernels
    static        none of the above: requests run in batches that no one joins later, by a plain loop (`static_engine`)
    flash-graphs  as `flash`, replayed from CUDA graphs: faster, never tried by itself; only where it is asked for

To prove itself, an engine goes on with some prompts, all at once, and is held against the plain model without a cache,
token by token up to where they part: near-ties may fall either way in 16 bits, and then all that follows differs. One
that reads prompts rightly and its cache wrongly would part at every second token, so more than that is asked for.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import product, takewhile
from random import Random
from typing import Any, Final, Literal, Protocol, get_args

import torch
from transformers import (
    AutoModelForCausalLM,
    ContinuousBatchingConfig,
    GenerationConfig,
    LlamaConfig,
    Qwen3Config,
)

from validation.serving import paged_flash
from validation.serving.batching_cache import FILLED
from validation.serving.gguf import Shape
from validation.serving.run import Bearing

Way = Literal["flash", "sdpa", "eager", "static", "flash-graphs"]
WAYS: Final[tuple[Way, ...]] = get_args(Way)
TRIED: Final[tuple[Way, ...]] = ("flash", "sdpa", "eager", "static")

PROVE_SECONDS = 40.0
STOP_SECONDS = 5.0
_PROOF_PROMPTS = 6
_PROOF_TOKENS = 8
_ENOUGH, _ENOUGH_EXACT = 0.6, 0.95
"""In 16 bits, and in 32, where ties are rare."""
_BATCH_TOKENS = 2048
"""The most of one step: long prompts are read in pieces of it."""
_EAGER_TOKENS = 256
"""Its scores are numbers for each head, query and key of all requests: they have to fit."""


class NoEngineError(Exception):
    """None of the ways works here; says what came of each."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What an engine says of a request whenever it has a new token.

    Attributes:
        tokens: all written so far. finished: whether these are all.
        started, ended: when it was first scheduled, when it was done, on `time.perf_counter`; None: not told.
        error: why it failed; empty where it did not.
    """

    tokens: Sequence[int]
    finished: bool
    started: float | None = None
    ended: float | None = None
    error: str = ""


Hear = Callable[[Heard], None]


class Engine(Protocol):
    """Runs requests together. Used from one event loop, in which `hear` is called."""

    def start(self) -> None:
        """Be ready for requests."""
        ...

    def submit(self, name: str, prompt: Sequence[int], tokens: int, hear: Hear) -> bool:
        """Take up a request for exactly so many tokens; False: it takes none any more."""
        ...

    def cancel(self, name: str) -> float | None:
        """Drop it, before the next step; when it was first scheduled, if it was."""
        ...

    def counts(self) -> tuple[int, int]:
        """Requests that run, and that wait."""
        ...

    def alive(self) -> bool:
        """Whether it goes on."""
        ...

    def stop(self) -> None:
        """Drop all and end; never hangs."""
        ...

    def first_tokens(self, prompts: Sequence[Sequence[int]], tokens: int, seconds: float) -> list[list[int]]:
        """Run these at once and wait; only before the first `submit`.

        Raises:
            Exception: whatever went wrong; TimeoutError among others.
        """
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """An engine that has proved itself.

    Attributes:
        agreed: share of its tokens that are the plain model's, up to where they part.
        failed: what came of the ways that were tried before.
    """

    engine: Engine
    way: Way
    agreed: float
    failed: tuple[str, ...]


def use_threads(number: int) -> None:
    """Of PyTorch on the CPU; 0: as many as it likes."""
    if number:
        torch.set_num_threads(number)


def build_model(shape: Shape, device: str) -> Any:
    """Of this shape, with random weights, the same each time, on this device; 16 bits on a GPU, 32 on a CPU."""
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(configuration(shape), dtype=dtype, attn_implementation="sdpa")
    return model.eval().requires_grad_(requires_grad=False)


def configuration(shape: Shape) -> Any:
    """The same shape as Transformers calls it."""
    kind = Qwen3Config if shape.architecture == "qwen3" else LlamaConfig
    return kind(
        vocab_size=shape.tokens,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        initializer_range=shape.hidden**-0.5,  # so that in small models, too, attention has a say
    )


def make(
    model: Any, bearing: Bearing, ways: Sequence[Way] = TRIED, say: Callable[[str], None] = lambda _: None
) -> Made:
    """Start the first way that proves itself.

    Raises:
        NoEngineError: none does.
    """
    prompts = _proof_prompts(model.config.vocab_size, bearing.prompt_tokens)
    expected = _plain_tokens(model, prompts)
    enough = _ENOUGH_EXACT if model.dtype == torch.float32 else _ENOUGH
    failed: list[str] = []
    for way in ways:
        engine = _engine(model, bearing, way)
        try:
            engine.start()
            return Made(engine, way, _prove(engine, prompts, expected, enough), tuple(failed))
        except Exception as error:  # noqa: BLE001 - whatever this machine has in store, the next way may do
            failed.append(f"{way}: {type(error).__name__}: {_first_line(error)}")
            say(f"no {failed[-1]}")
            with suppress(Exception):
                engine.stop()
    raise NoEngineError("; ".join(failed))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:240]


def _engine(model: Any, bearing: Bearing, way: Way) -> Engine:
    if way == "static":
        from validation.serving.static_engine import StaticEngine  # noqa: PLC0415 - it knows this module

        return StaticEngine(model, bearing)
    return ContinuousEngine(model, bearing, way)


def _proof_prompts(vocabulary: int, longest: int) -> list[list[int]]:
    chance = Random(0)  # noqa: S311 - repeatable, no secret
    lengths = [min(3 + 29 * at, longest) for at in range(_PROOF_PROMPTS)]
    return [[chance.randrange(vocabulary) for _ in range(length)] for length in lengths]


def _plain_tokens(model: Any, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """How the model goes on, one prompt after the other, without any cache."""
    rows = [list(prompt) for prompt in prompts]
    with torch.inference_mode():
        for row, _ in product(rows, range(_PROOF_TOKENS)):
            logits = model(input_ids=torch.tensor([row], device=model.device), use_cache=False, logits_to_keep=1).logits
            row.append(int(logits[0, -1].argmax()))
    return [row[-_PROOF_TOKENS:] for row in rows]


def _prove(engine: Engine, prompts: Sequence[Sequence[int]], expected: Sequence[Sequence[int]], enough: float) -> float:
    told = engine.first_tokens(prompts, _PROOF_TOKENS, PROVE_SECONDS)
    short = [len(tokens) for tokens in told if len(tokens) != _PROOF_TOKENS]
    if short:
        raise ValueError(f"asked for {_PROOF_TOKENS} tokens, {short} came")
    agreed = agreement(told, expected)
    if agreed < enough:
        raise ValueError(f"only {agreed:.0%} of its tokens are the plain model's")
    return agreed


def agreement(told: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]) -> float:
    """Share of tokens that are as expected, up to and with each row's first that is not."""
    compared = agreed = 0
    for mine, theirs in zip(told, expected, strict=True):
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(mine, theirs, strict=True)))
        agreed += same
        compared += min(same + 1, len(theirs))
    return agreed / compared


class ContinuousEngine:
    """`ContinuousBatchingManager` of Transformers."""

    def __init__(self, model: Any, bearing: Bearing, way: Way) -> None:
        self._model, self._bearing, self._way = model, bearing, way
        self._manager: Any = None
        self._usual = model.config._attn_implementation  # noqa: SLF001 - has no public name

    def start(self) -> None:
        """Be ready for requests."""
        # Set directly: the public setter looks on the internet for every kernel whose name has `flash` in it.
        self._model.config._attn_implementation = self._attention()  # noqa: SLF001
        self._manager = self._model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),
            continuous_batching_config=ContinuousBatchingConfig(**self._settings()),
        )
        if self._way == "flash-graphs":
            self._manager.warmup()
        self._manager.start()

    def submit(self, name: str, prompt: Sequence[int], tokens: int, hear: Hear) -> bool:
        """Take up a request for exactly so many tokens."""
        self._manager.register_result_handler(name, lambda output: hear(_heard(output)))
        taken = self._manager.add_request(list(prompt), request_id=name, max_new_tokens=tokens, streaming=True)
        if taken is None:
            self._forget(name)
        return taken is not None

    def cancel(self, name: str) -> float | None:
        """Drop it, before the next step."""
        state = _scheduler(self._manager, "active_requests").get(name)
        self._manager.cancel_request(name)
        self._forget(name)
        return None if state is None or state.lifespan[0] < 0 else float(state.lifespan[0])

    def counts(self) -> tuple[int, int]:
        """Requests that run, and that wait."""
        queued = self._manager.input_queue.qsize() + len(_scheduler(self._manager, "waiting_requests"))
        return len(_scheduler(self._manager, "active_requests")), queued

    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._manager is not None and bool(self._manager.is_running())

    def stop(self) -> None:
        """Drop all and end."""
        if self._manager is not None:
            self._manager.stop(block=True, timeout=STOP_SECONDS, hard_stop=True)
            self._manager = None
        self._model.config._attn_implementation = self._usual  # noqa: SLF001

    def first_tokens(self, prompts: Sequence[Sequence[int]], tokens: int, seconds: float) -> list[list[int]]:
        """Run these at once and wait."""
        names = [f"proof-{at}" for at in range(len(prompts))]
        for name, prompt in zip(names, prompts, strict=True):
            self._manager.add_request(list(prompt), request_id=name, max_new_tokens=tokens)
        told: dict[str, list[int]] = {}
        until = time.monotonic() + seconds
        while len(told) < len(names):
            output = self._manager.get_result(timeout=0.2)
            if output is not None:
                self._check(output.error)
                told[output.request_id] = list(output.generated_tokens)
            elif not self.alive():
                self._check("its thread ended")
            elif time.monotonic() >= until:
                raise TimeoutError(f"{len(told)} of {len(names)} requests done after {seconds:g} s")
        return [told[name] for name in names]

    def _check(self, error: str | None) -> None:
        if error:
            raise RuntimeError(str(self._manager.background_thread_status.fatal_error or error))

    def _forget(self, name: str) -> None:
        self._manager.output_router.result_handlers.pop(name, None)

    def _attention(self) -> str:
        if self._way.startswith("flash"):
            return paged_flash.register()
        if self._way == "eager":
            return "paged|eager"
        return "sdpa" if paged_flash.plain_names() else "paged|sdpa"

    def _settings(self) -> dict[str, Any]:
        """Sizes are said rather than taken from what memory is free: others may use the device, too."""
        known = {field.name for field in fields(ContinuousBatchingConfig)}
        block = 32 if self._model.device.type == "cpu" else 256
        longest = self._bearing.prompt_tokens + self._bearing.output_tokens
        blocks = self._bearing.concurrency * -(-(longest + 1) // block)
        graphs = self._way == "flash-graphs"
        step = _EAGER_TOKENS if self._way == "eager" else _BATCH_TOKENS
        return {
            ("page_size" if "page_size" in known else "block_size"): block,
            "num_blocks": int(blocks / FILLED) + 1,
            "max_batch_tokens": max(step, self._bearing.concurrency),
            "max_requests_per_batch": self._bearing.concurrency,
            "allow_block_sharing": False,  # equal prompts must cost what different ones do
            "use_cuda_graph": graphs,
            "use_async_batching": graphs,
            **({"auto_switch_to_flash": False} if "auto_switch_to_flash" in known else {}),
        }


def _scheduler(manager: Any, name: str) -> dict[str, Any]:
    """One of its two dictionaries of requests; the processor is there once the thread has made it."""
    scheduler = getattr(getattr(manager, "batch_processor", None), "scheduler", None)
    found: dict[str, Any] = getattr(scheduler, name, {})
    return found


def _heard(output: Any) -> Heard:
    started, ended = output.lifespan
    return Heard(
        output.generated_tokens,
        bool(output.is_finished()) or output.error is not None,
        started if started > 0 else None,
        ended if ended > 0 else None,
        str(output.error or ""),
    )
