"""Attention for continuous batching by the FlashAttention kernels that come with PyTorch: nothing to be installed.

Theory of operation. Transformers packs the tokens of all requests of a step into one row and says where each request's
queries and keys begin. Its attentions that need no further package (`sdpa`, `eager`) let every query see the keys of
every request and mask most of them out: a step then costs the batch times what it should. FlashAttention takes the
boundaries themselves. PyTorch ships it as `aten::_flash_attention_forward`; here it is made known to Transformers as an
attention of its own, whose name has `flash` in it, so that boundaries are handed over and no mask is made.

On the CPU, where PyTorch has no such kernel, each request is computed by itself: the same results, for tests.

Transformers 5.17 and 5.23 hand over differently: the cache wants its indices, or all that it was given; the longest
lengths are called `max_seqlen` or `max_length`; the name begins with `paged|`, or must not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

Tensor = Any


def plain_names() -> bool:
    """Whether attentions for continuous batching have no `paged|` before their names, as in newer Transformers."""
    return "paged|sdpa" not in AttentionInterface()


def register() -> str:
    """Make it known to Transformers; its name there."""
    name = "torch_flash" if plain_names() else "paged|torch_flash"
    AttentionInterface.register(name, forward)
    return name


def forward(  # noqa: PLR0913, PLR0917 - Transformers decides how it is called
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - there is none: boundaries say it
    scaling: float | None = None,
    cache: Any = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As Transformers calls it: query, key and value of one row of packed tokens, (1, heads, tokens, width).

    Returns:
        (1, tokens, heads, width), and no weights.
    """
    keys, values = _cached(module, cache, key, value, kwargs)
    queries = query.squeeze(0).transpose(0, 1).contiguous()
    kernel = _flash if query.is_cuda else _one_by_one
    return kernel(queries, keys.contiguous(), values.contiguous(), _bounds(kwargs), scaling).unsqueeze(0), None


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Where each request's tokens begin in the row, and the end; the longest request. Of queries and of keys."""

    queries: Tensor
    keys: Tensor
    longest_queries: int
    longest_keys: int


def _bounds(kwargs: Mapping[str, Any]) -> _Bounds:
    queries, keys = (kwargs[f"cu_seq_lens_{side}"].to(torch.int32) for side in "qk")
    word = "max_seqlen" if "max_seqlen_q" in kwargs else "max_length"
    return _Bounds(queries, keys, kwargs[f"{word}_q"], kwargs[f"{word}_k"])


def _cached(module: Any, cache: Any, key: Tensor, value: Tensor, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Put new keys and values into the cache; all of these requests, (tokens, heads, width)."""
    if "kwargs" in signature(cache.update).parameters:
        told = cache.update(key_states=key, value_states=value, layer_idx=module.layer_idx, kwargs=kwargs)
        return told[0].squeeze(0).transpose(0, 1), told[1].squeeze(0).transpose(0, 1)
    indices = {name: kwargs[name] for name in ("read_index", "write_index")}
    keys, values = cache.update(key_states=key, value_states=value, layer_idx=module.layer_idx, **indices)
    return keys, values


def _flash(queries: Tensor, keys: Tensor, values: Tensor, bounds: _Bounds, scaling: float | None) -> Tensor:
    """Causal, with the last query at the last key; fewer heads of keys than of queries are the kernel's own affair."""
    begins, longest = (bounds.queries, bounds.keys), (bounds.longest_queries, bounds.longest_keys)
    dropout, causal, debugging = 0.0, True, False
    return torch.ops.aten._flash_attention_forward(  # noqa: SLF001 - PyTorch's public way to it changes by version
        queries, keys, values, *begins, *longest, dropout, causal, debugging, scale=scaling
    )[0]


def _one_by_one(queries: Tensor, keys: Tensor, values: Tensor, bounds: _Bounds, scaling: float | None) -> Tensor:
    out = torch.zeros_like(queries)
    from_q, from_k = (side.tolist() for side in (bounds.queries, bounds.keys))
    for at in range(len(from_q) - 1):
        mine, known = slice(from_q[at], from_q[at + 1]), slice(from_k[at], from_k[at + 1])
        seen = _causal(mine.stop - mine.start, known.stop - known.start)
        q, k, v = (one.transpose(0, 1).unsqueeze(0) for one in (queries[mine], keys[known], values[known]))
        one = scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scaling, enable_gqa=True)
        out[mine] = one.squeeze(0).transpose(0, 1)
    return out


def _causal(queries: int, keys: int) -> Tensor:
    """Which keys each query may see: the last query all of them."""
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
