"""Real models, taken apart: the only package that imports PyTorch and Transformers, and only once it is asked to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from exporter.components.models.catalogue import CATALOGUE, SMALL_CATALOGUE, ModelEntry
from exporter.domain.dissection import Case
from exporter.domain.errors import ComponentsError

if TYPE_CHECKING:
    from exporter.components.subject import Subject

__all__ = ["CATALOGUE", "SMALL_CATALOGUE", "Launch", "ModelEntry", "prepare"]

Launch = Literal["eager", "graph"]


def prepare(  # noqa: PLR0913 - each is a word of the command line
    name: str,
    case: Case,
    *,
    device: str = "auto",
    changes: Mapping[str, int] | None = None,
    weights: str | None = None,
    launch: Launch = "eager",
    seed: int = 0,
) -> "Subject":
    """Build a model, run it once under a case, and take it apart.

    Args:
        name: of `CATALOGUE` or `SMALL_CATALOGUE`, or a local directory that holds a `config.json`.
        case: phase, batch, sequence, dtype, implementation of attention.
        device: `auto` (the first GPU if there is one), `cpu`, `cuda`, `cuda:1`.
        changes: what to sweep: `hidden_size`, `heads`, `layers`, `intermediate_size`, `experts`.
        weights: a local directory to read weights and configuration from; random weights without it.
        launch: `eager`, or `graph` for CUDA graphs.
        seed: of random weights and random tokens.

    Returns:
        Parts to be replayed, the model first; a part of a block has a path under that of its block. Its case says
        `eager` for attention where `sdpa` was asked for and the model has none (gpt-oss).

    Raises:
        ComponentsError: PyTorch is missing, or the model cannot be built, run, or taken apart here.
    """
    try:
        from exporter.components.models.preparing import Order, prepare_subject  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"torch", "transformers"}:
            raise
        raise ComponentsError(
            f"cannot import {error.name}: models need PyTorch and Transformers; "
            "pip install 'llm-energy-exporter[components]'"
        ) from error
    return prepare_subject(Order(name, case, device, dict(changes or {}), weights, launch, seed))
