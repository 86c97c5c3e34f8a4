"""A configuration under changes: what is swept, in words that mean the same in every family.

Families name the same thing differently (`n_embd`, `d_model`, `hidden_size`); the table below is all that is known of
that. What hangs together is kept together: heads divide the width of attention, groups of queries share one key and
value head as before, a pattern of kinds of layers goes on as it began.
"""

from collections.abc import Mapping
from typing import Any

from exporter.domain.errors import ComponentsError

_KEYS: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "d_model", "n_embd", "dim"),
    "heads": (
        "num_attention_heads",
        "num_heads",
        "n_head",
        "n_heads",
        "encoder_attention_heads",
        "decoder_attention_heads",
    ),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim", "d_kv"),
    "layers": (
        "num_hidden_layers",
        "num_layers",
        "num_decoder_layers",
        "n_layer",
        "n_layers",
        "encoder_layers",
        "decoder_layers",
    ),
    "intermediate_size": (
        "intermediate_size",
        "d_ff",
        "hidden_dim",
        "n_inner",
        "ffn_dim",
        "encoder_ffn_dim",
        "decoder_ffn_dim",
    ),
    "expert_size": ("moe_intermediate_size",),
    "experts": ("num_experts", "num_local_experts", "n_routed_experts"),
    "experts_per_token": ("num_experts_per_tok",),
}
CHANGEABLE = ("hidden_size", "heads", "layers", "intermediate_size", "experts")
"""What may be swept."""


def changed(name: str, values: Mapping[str, Any], changes: Mapping[str, int]) -> dict[str, Any]:
    """A configuration's values after changes.

    Args:
        name: of the model, for errors.
        values: of the configuration, under its family's own keys.
        changes: new numbers by one of `CHANGEABLE`. Of a model whose experts have a width of their own,
            `intermediate_size` is that.

    Raises:
        ComponentsError: a change is unknown, is not a number above 0, or cannot be had with the rest.
    """
    for word, number in changes.items():
        _check_word(name, values, word, number)
    result = dict(values)
    for word, number in changes.items():
        own_width = word == "intermediate_size" and _get(values, "expert_size") is not None
        _put(result, "expert_size" if own_width else word, number)
    if "hidden_size" in changes or "heads" in changes:
        _fit_heads(name, values, result)
    _fit_experts(name, result)
    _fit_layer_kinds(result, changes.get("layers"))
    return result


def shape_of(values: Mapping[str, Any]) -> dict[str, int]:
    """What is worth knowing of a configuration, in the words of `changes` and a few more."""
    found = {word: _get(values, word) for word in _KEYS}
    found["vocabulary"] = values.get("vocab_size")
    if found["layers"] is not None and (decoder := values.get("num_decoder_layers", values.get("decoder_layers"))):
        found["decoder_layers"] = decoder
    if found["head_dim"] is None and found["hidden_size"] and found["heads"]:
        found["head_dim"] = found["hidden_size"] // found["heads"]
    return {word: number for word, number in found.items() if isinstance(number, int)}


def _check_word(name: str, values: Mapping[str, Any], word: str, number: int) -> None:
    if word not in CHANGEABLE:
        raise ComponentsError(f"{word}: cannot be changed; one of {', '.join(CHANGEABLE)}")
    if number < 1:
        raise ComponentsError(f"{word}={number}: must be 1 or more")
    if not any(key in values for key in _KEYS[word]):
        raise ComponentsError(f"{word}={number}: {name} has none, under none of the names {', '.join(_KEYS[word])}")


def _get(values: Mapping[str, Any], word: str) -> Any:
    return next((values[key] for key in _KEYS[word] if values.get(key) is not None), None)


def _put(values: dict[str, Any], word: str, number: int) -> None:
    values.update({key: number for key in _KEYS[word] if key in values})


def _fit_heads(name: str, old: Mapping[str, Any], new: dict[str, Any]) -> None:
    heads, old_heads = _get(new, "heads"), _get(old, "heads")
    hidden_size, old_hidden_size = _get(new, "hidden_size"), _get(old, "hidden_size")
    head_dim = _get(old, "head_dim")
    width = hidden_size if head_dim is None else head_dim * old_heads * hidden_size / old_hidden_size
    if width % (2 * heads):
        raise ComponentsError(
            f"{name}: {heads} heads cannot share an attention {width:g} wide; twice the heads must divide it"
        )
    if head_dim is not None:
        _put(new, "head_dim", int(width) // heads)
    _fit_kv_heads(name, old_heads, _get(old, "kv_heads"), new)


def _fit_kv_heads(name: str, old_heads: int, old_kv_heads: int | None, new: dict[str, Any]) -> None:
    heads = _get(new, "heads")
    if old_kv_heads is None or old_kv_heads == 1 or heads == old_heads:
        return
    queries_each = old_heads // old_kv_heads
    if heads % queries_each:
        raise ComponentsError(
            f"{name}: {heads} heads cannot go in groups of {queries_each} that share keys and values; "
            f"take a multiple of {queries_each}"
        )
    _put(new, "kv_heads", heads // queries_each)


def _fit_experts(name: str, new: Mapping[str, Any]) -> None:
    experts, chosen = _get(new, "experts"), _get(new, "experts_per_token")
    if experts is not None and chosen is not None and experts < chosen:
        raise ComponentsError(f"{name}: experts={experts}: each token goes to {chosen}, so there must be that many")


def _fit_layer_kinds(new: dict[str, Any], layers: int | None) -> None:
    kinds = new.get("layer_types")
    if kinds and layers is not None:
        new["layer_types"] = [kinds[number % len(kinds)] for number in range(layers)]
