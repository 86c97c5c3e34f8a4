"""FLOPs of calls, as PyTorch's own counter sees them.

That is two for each multiplication with its addition, in products of matrices only. Norms, activations and look-ups
count as nothing; causal attention counts as if nothing were masked.

The counter of PyTorch 2.13 knows neither the attention kernel of CPUs nor grouped products of matrices, and asserts
equal numbers of heads; so both are said here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from exporter.components.models.calls import Call

_ATTENTIONS = (
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)


def flops_of(occurrences: Sequence[Iterable[Call]]) -> int | None:
    """FLOPs of one run, in the mean over occurrences; None where nothing is counted."""
    total = 0
    for calls in occurrences:
        counter = FlopCounterMode(display=False, custom_mapping=_formulas())
        with torch.no_grad(), counter:
            for call in calls:
                call.again()
        total += counter.get_total_flops()
    return round(total / len(occurrences)) or None


def _formulas() -> Mapping[Any, Any]:
    formulas = {getattr(torch.ops.aten, name): _attention for name in _ATTENTIONS if hasattr(torch.ops.aten, name)}
    grouped = [(torch.ops.aten, "_grouped_mm"), (torch.ops.transformers, "grouped_mm_fallback")]
    return formulas | {getattr(space, name): _grouped for space, name in grouped if hasattr(space, name)}


def _attention(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_args: Any, out_shape: Any = None, **_kwargs: Any
) -> int:
    """Scores and their mean of values. Shapes are (batch, heads, tokens, width); keys may have fewer heads."""
    del out_shape
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])


def _grouped(rows: Sequence[int], weights: Sequence[int], *_args: Any, out_shape: Any = None, **_kwargs: Any) -> int:
    """Each row by the matrix of its group: (rows, in) by (groups, in, out)."""
    del out_shape
    return 2 * rows[0] * rows[1] * weights[-1]
