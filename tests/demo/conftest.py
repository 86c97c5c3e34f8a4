import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.demo.inference import Inference

MakeInference = Callable[[str], Inference]


@pytest.fixture
def make_inference(tmp_path: Path) -> MakeInference:
    """A fake llama-server with a model whose name tells it how to behave."""
    return make_inference_in(tmp_path)


def make_inference_in(folder: Path) -> MakeInference:
    script = Path(__file__).with_name("fake_llama_server.py").read_text()
    binary = folder / "llama-server"
    binary.write_text(f"#!{sys.executable}\n{script}")
    binary.chmod(0o755)

    def make(behaviour: str) -> Inference:
        model = folder / f"{behaviour}.gguf"
        model.touch()
        return Inference(binary, model)

    return make
