"""Which servers with which models are tested: the one list."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from validation.options import Options
from validation.serving import gguf
from validation.serving.llama import LlamaServer
from validation.serving.run import Bearing, ServerUnderTest

WORDS = 32_768
"""Of llama-server's vocabulary, a quarter of the models' own: it samples on the CPU, one request after the other, and
64 times 128,000 words would leave the GPU waiting for half of each step."""

BEARING = Bearing(concurrency=64, prompt_tokens=2048, output_tokens=1024)
QUICK_BEARING = Bearing(concurrency=16, prompt_tokens=1024, output_tokens=2048)
FAKE_BEARING = Bearing(concurrency=8, prompt_tokens=192, output_tokens=256)


def servers(options: Options) -> list[ServerUnderTest]:
    """Those that are wanted, in their order: should the time not do for all, the last go without."""
    return [one for one in _all(options) if not options.servers or one.name.startswith(options.servers)]


def unknown(options: Options) -> tuple[str, tuple[str, ...]]:
    """The first word with which no server's name begins, or an empty one; and the names that there are."""
    names = tuple(one.name for one in _all(options))
    return next((word for word in options.servers if not any(name.startswith(word) for name in names)), ""), names


def _all(options: Options) -> list[ServerUnderTest]:
    return [llama(options), *_of_transformers(options)]


def llama(options: Options) -> LlamaServer:
    """llama-server with the model that all comparisons are about; for show: with a little one."""
    if options.fake:
        return LlamaServer(gguf.LITTLE, "q8_0", options, FAKE_BEARING)
    return LlamaServer(replace(gguf.LLAMA_8B, tokens=WORDS), "q8_0", options, BEARING)


def quick(options: Options) -> list[ServerUnderTest]:
    """Those in which little happens per step, so that whatever disturbs them shows: the first that starts will do."""
    shape = gguf.LITTLE if options.fake else replace(gguf.LLAMA_1B, tokens=WORDS)
    return [
        LlamaServer(shape, "q8_0", options, FAKE_BEARING if options.fake else QUICK_BEARING),
        *_of_transformers(options),
    ]


def _of_transformers(options: Options) -> Sequence[ServerUnderTest]:
    """Those around Transformers, where they are there."""
    try:
        module = importlib.import_module("validation.serving.batching")
    except ImportError:
        return ()
    return cast("Sequence[ServerUnderTest]", module.servers(options))
