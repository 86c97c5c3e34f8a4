"""A GGUF file as the folder of weights that vLLM loads. Runs in vLLM's own environment.

python unpack_model.py MODEL.gguf FOLDER
"""

import sys
from pathlib import Path
from typing import Any


def main(gguf: Path, folder: Path) -> None:
    """Loads the quantised weights and saves them as plain ones, with the tokeniser and the chat template."""
    import torch  # noqa: PLC0415 - only there
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    model: Any = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    # transformers refuses to save what it believes to be quantised still.
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer, model.is_quantized = None, False
    model.to(torch.bfloat16).save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(str(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
