"""Which servers with which models are tested: the one list."""

import importlib
from collections.abc import Sequence
from typing import cast

from validation.options import Options
from validation.serving import gguf
from validation.serving.llama import LlamaServer
from validation.serving.run import Bearing, ServerUnderTest

BEARING = Bearing(concurrency=64, prompt_tokens=2048, output_tokens=1024)
FAKE_BEARING = Bearing(concurrency=8, prompt_tokens=192, output_tokens=256)


def servers(options: Options) -> list[ServerUnderTest]:
    """In their order: should the time not do for all, the last go without."""
    return [llama(options), *_of_transformers(options)]


def llama(options: Options) -> LlamaServer:
    """llama-server with the model that all comparisons are about; for show: with a little one."""
    if options.fake:
        return LlamaServer(gguf.LITTLE, "q8_0", options, FAKE_BEARING)
    return LlamaServer(gguf.LLAMA_8B, "q8_0", options, BEARING)


def _of_transformers(options: Options) -> Sequence[ServerUnderTest]:
    """Those around Transformers, where they are there."""
    try:
        module = importlib.import_module("validation.serving.transformers")
    except ImportError:
        return ()
    return cast("Sequence[ServerUnderTest]", module.servers(options))
