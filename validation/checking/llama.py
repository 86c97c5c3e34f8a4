"""llama-server: is there one, does it see the GPU, does it serve a little model."""

from collections.abc import Iterator

from validation.checking import Answer
from validation.checking.asking import asked
from validation.options import Options
from validation.serving import gguf
from validation.serving.llama import LlamaServer
from validation.serving.run import Bearing
from validation.stage import Room


def answers(room: Room, options: Options) -> Iterator[Answer]:
    """Of the smallest model that is served; what it says of the larger ones is that the way there is open."""
    yield from asked("llama-server", LlamaServer(gguf.LITTLE, "q8_0", options, Bearing(4, 64, 64)), room)
