"""From a name to a model on a device: random weights by a configuration, or those of a local directory.

Nothing is ever fetched: what is not in the catalogue must be a directory on this machine.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers.models.auto import modeling_auto
from transformers.utils import logging as transformers_logging

from exporter.components.models.catalogue import CATALOGUE, SMALL_CATALOGUE, Architecture
from exporter.components.models.hardware import free_bytes
from exporter.components.models.shaping import changed, shape_of
from exporter.domain.dissection import Case
from exporter.domain.errors import ComponentsError

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, ready to run.

    Attributes:
        name, architecture, weights, shape: see Dissection.
        attention: implementation that is in force.
        module: in evaluation mode, on the device.
        config: its configuration.
    """

    name: str
    architecture: Architecture
    weights: str
    shape: dict[str, int]
    attention: str
    module: Any
    config: Any

    @property
    def parameters(self) -> int:
        """How many; tied ones once."""
        return sum(each.numel() for each in self.module.parameters())


@contextmanager
def quiet() -> Iterator[None]:
    """Neither advice nor progress bars of Transformers, which are about generation and training."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def load(name: str, case: Case, changes: Mapping[str, int], weights: str | None, device: Any) -> LoadedModel:
    """Build a model.

    Args:
        name: of the catalogue, or a local directory; with `weights`, only what to call it.
        case: whose dtype and implementation of attention are used.
        changes: see `shaping.changed`.
        weights: a local directory, or None for random weights.
        device: PyTorch's.

    Raises:
        ComponentsError: nothing of that name, or it cannot be built so.
    """
    if weights is not None and changes:
        raise ComponentsError(f"weights of {weights} fit their own configuration: leave out {', '.join(changes)}")
    config = _configuration(name) if weights is None else _configuration_of(name, weights)
    if changes:
        config = _rebuilt(name, config, changes)
    attention, module = _module(name, config, case, weights, device)
    return LoadedModel(
        name=name,
        architecture=_architecture(config),
        weights="random" if weights is None else weights,
        shape=shape_of(config.to_dict()),
        attention=attention,
        module=module,
        config=module.config,
    )


# --- configurations --------------------------------------------------------------------------------------------------


def _configuration(name: str) -> Any:
    entry = CATALOGUE.get(name) or SMALL_CATALOGUE.get(name)
    if entry is not None:
        return transformers.CONFIG_MAPPING[entry.model_type](**entry.values)
    if not (Path(name) / "config.json").is_file():
        raise ComponentsError(
            f"{name}: neither in the catalogue nor a local directory with a config.json (nothing is downloaded)"
        )
    return _read_configuration(name)


def _configuration_of(name: str, weights: str) -> Any:
    """What comes with weights, which must be of the family that the name says, where it says one."""
    if not (Path(weights) / "config.json").is_file():
        raise ComponentsError(f"{weights}: not a local directory with a config.json (nothing is downloaded)")
    config, entry = _read_configuration(weights), CATALOGUE.get(name) or SMALL_CATALOGUE.get(name)
    if entry is not None and entry.model_type != config.model_type:
        raise ComponentsError(f"{weights} holds a {config.model_type}, and {name} is a {entry.model_type}")
    return config


def _read_configuration(folder: str) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    except (ValueError, OSError, KeyError, TypeError, StrictDataclassError) as error:
        raise ComponentsError(f"{folder}/config.json: Transformers cannot read it: {_line(error)}") from error


def _rebuilt(name: str, config: Any, changes: Mapping[str, int]) -> Any:
    values = changed(name, config.to_dict(), changes)
    try:
        return type(config).from_dict(values)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise ComponentsError(f"{name}: {_words(changes)}: {_line(error)}") from error


def _words(changes: Mapping[str, int]) -> str:
    return ", ".join(f"{word}={number}" for word, number in changes.items())


def _architecture(config: Any) -> Architecture:
    if config.is_encoder_decoder:
        return "encoder_decoder"
    if any(getattr(config, key, None) for key in _EXPERTS):
        return "mixture_of_experts"
    return "encoder" if _is_masked(config) else "decoder"


def _is_masked(config: Any) -> bool:
    """Whether a model fills in masked words. BERT can be told to write, too: what the file says counts first."""
    says = getattr(config, "architectures", None) or []
    if any("CausalLM" in one or "LMHeadModel" in one for one in says):
        return False
    return config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


# --- models ----------------------------------------------------------------------------------------------------------


def _module(name: str, config: Any, case: Case, weights: str | None, device: Any) -> tuple[str, Any]:
    if weights is not None:
        _check_weights(weights)
    auto, dtype = _auto_class(name, config), _dtype(case.dtype)

    def built(attention: str) -> Any:
        options = {"dtype": dtype, "attn_implementation": attention}
        if weights is not None:
            return auto.from_pretrained(weights, config=config, local_files_only=True, **options)
        if device.type != "meta":
            with torch.device("meta"):
                _expect_room(name, auto.from_config(config, **options), device)
        with torch.device(device):
            return auto.from_config(config, **options)

    attention, module = _with_attention(name, case.attention, built)
    return attention, module.eval().requires_grad_(requires_grad=False).to(device)


def _expect_room(name: str, bare: Any, device: Any) -> None:
    """Before weights are made for a bare module: where memory ends, Linux ends this process without a word."""
    needed, free = sum(one.numel() * one.element_size() for one in bare.parameters()), free_bytes(device)
    if needed > free:
        raise ComponentsError(
            f"{name}: too little memory on {device}: weights of {needed / 1e9:.1f} GB as {str(bare.dtype)[6:]}, and "
            f"{free / 1e9:.1f} GB are free; a small variant (`components list --small`) or a shorter dtype may fit"
        )


def _with_attention(name: str, attention: str, built: Callable[[str], Any]) -> tuple[str, Any]:
    try:
        return attention, built(attention)
    except (ValueError, ImportError, OSError, RuntimeError, KeyError) as error:
        if attention != "sdpa" or "scaled_dot_product_attention" not in str(error):
            raise ComponentsError(f"{name}: cannot be built: {_line(error)}") from error
    return "eager", built("eager")  # gpt-oss has no other that needs no further package


def _dtype(name: str) -> Any:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ComponentsError(f"dtype {name!r}: PyTorch knows no such floating-point type (float32, bfloat16, float16)")
    return dtype


def _auto_class(name: str, config: Any) -> Any:
    kind = config.model_type
    if config.is_encoder_decoder and kind in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return transformers.AutoModelForSeq2SeqLM
    if _is_masked(config):
        return transformers.AutoModelForMaskedLM
    if kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return transformers.AutoModelForCausalLM
    raise ComponentsError(
        f"{name}: {kind} is no language model that can be taken apart: looked for one that fills in masked words, "
        "one that writes, and one that reads and writes"
    )


def _check_weights(folder: str) -> None:
    if not any(list(Path(folder).glob(pattern)) for pattern in _WEIGHTS):
        raise ComponentsError(f"{folder}: holds no weights ({' or '.join(_WEIGHTS)}); leave them out for random ones")


def _line(error: Exception) -> str:
    """The first two lines as one: the first one alone often only says that something is wrong."""
    return " ".join(" ".join(str(error).strip().splitlines()[:2]).split()) or type(error).__name__
