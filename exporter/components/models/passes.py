"""What a model is given in the one pass that is taken apart.

| phase | encoder | decoder, mixture of experts | encoder-decoder |
|---|---|---|---|
| prefill | all tokens | all tokens, into an empty cache | all tokens into the encoder, as many into the decoder |
| decode | makes no sense | one token after a cache of the others | one into the decoder, after a cache of both |

Tokens are random, never padding, and nothing is masked. A head is run over every position, as Transformers does unless
told otherwise; a server takes only the last one of a prompt.
"""

from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from exporter.components.models.loading import LoadedModel
from exporter.domain.dissection import Case
from exporter.domain.errors import ComponentsError


def pass_inputs(model: LoadedModel, case: Case, device: Any, seed: int) -> dict[str, Any]:
    """Keyword arguments of the pass under a case. For decode, the prompt is run here.

    Raises:
        ComponentsError: the model has no such phase, or no place for so many tokens.
    """
    _check(model, case)
    generator = torch.Generator().manual_seed(seed)

    config = model.config.get_text_config()

    def tokens(length: int) -> Any:
        ids = torch.randint(config.vocab_size, (case.batch, length), generator=generator)
        padding = getattr(config, "pad_token_id", None)
        if padding is not None:
            ids[ids == padding] = (padding + 1) % config.vocab_size
        return ids.to(device)

    prompt = _prompt(model, case, tokens)
    return prompt if case.phase == "prefill" else _one_more(model, prompt, tokens(1))


def _check(model: LoadedModel, case: Case) -> None:
    if case.batch < 1 or case.sequence < 1:
        raise ComponentsError(f"batch {case.batch}, sequence {case.sequence}: both must be 1 or more")
    if case.phase == "decode" and model.architecture == "encoder":
        raise ComponentsError(f"{model.name} is an encoder: it reads all tokens at once and never decodes one")
    needed = case.sequence + (case.phase == "decode")
    if needed > (places := _places(model)):
        raise ComponentsError(f"{model.name} has {places} positions, and the case needs {needed}")


def _places(model: LoadedModel) -> float:
    """Positions there are. RoBERTa counts them from behind its padding token."""
    places = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if places is None or places < 1:  # XLNet's are not limited, and said to be -1
        return float("inf")
    offsets = [
        int(module.padding_idx) + 1
        for path, module in model.module.named_modules()
        if path.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    return int(places) - max(offsets, default=0)


def _prompt(model: LoadedModel, case: Case, tokens: Any) -> dict[str, Any]:
    ids = {"input_ids": tokens(case.sequence)}
    if model.architecture == "encoder":
        return ids
    if model.architecture == "encoder_decoder":
        ids["decoder_input_ids"] = tokens(case.sequence)
    return {**ids, "use_cache": True}


def _one_more(model: LoadedModel, prompt: dict[str, Any], token: Any) -> dict[str, Any]:
    with torch.no_grad():
        result = model.module(**prompt)
    cache = getattr(result, "past_key_values", None)
    if cache is None:
        raise ComponentsError(f"{model.name} keeps no cache of keys and values: it cannot decode a single token")
    if model.architecture == "encoder_decoder":
        encoded = BaseModelOutput(last_hidden_state=result.encoder_last_hidden_state)
        return {"encoder_outputs": encoded, "decoder_input_ids": token, "past_key_values": cache, "use_cache": True}
    return {"input_ids": token, "past_key_values": cache, "use_cache": True}
