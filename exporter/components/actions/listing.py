"""`components list`: the models that are ready by name."""

import argparse
from collections.abc import Iterable, Iterator, Mapping

from exporter.components.models import CATALOGUE, SMALL_CATALOGUE, ModelEntry

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its arguments."""
    parser.add_argument("--small", action="store_true", help="the small variants, for a CPU")
    parser.add_argument("--parameters", action="store_true", help="count parameters (needs PyTorch and Transformers)")


def run(options: argparse.Namespace) -> int:
    """Print them.

    Raises:
        ComponentsError: parameters are wanted, and PyTorch is missing.
    """
    entries = (SMALL_CATALOGUE if options.small else CATALOGUE).values()
    counted = _counted(entries) if options.parameters else {}
    print("\n".join(_table(entries, counted)))
    if not options.small:
        print("\nEach has a small variant for a CPU, NAME-small: see `components list --small`.")
    return 0


def _counted(entries: Iterable[ModelEntry]) -> dict[str, str]:
    from exporter.components import words  # noqa: PLC0415 - only if asked for
    from exporter.components.actions.measuring import place_of  # noqa: PLC0415

    place_of("cpu")
    from exporter.components.models.where import parameters_of  # noqa: PLC0415 - an optional extra

    return {
        entry.name: words.parameters_words(parameters_of(entry.name)).removesuffix(" parameters") for entry in entries
    }


def _table(entries: Iterable[ModelEntry], counted: Mapping[str, str]) -> Iterator[str]:
    heads = f"{'layers':>7}{'width':>7}{'heads':>7}" + (f"{'parameters':>15}" if counted else "")
    yield f"{'name':<22}{'architecture':<21}{heads}  follows"
    for entry in entries:
        sizes = "".join(f"{_first(entry, keys):>7}" for keys in (_LAYERS, _WIDTH, _HEADS))
        parameters = f"{counted[entry.name]:>15}" if counted else ""
        yield f"{entry.name:<22}{entry.architecture.replace('_', ' '):<21}{sizes}{parameters}  {entry.follows}"


def _first(entry: ModelEntry, keys: Iterable[str]) -> str:
    return next((str(entry.values[key]) for key in keys if key in entry.values), "-")
