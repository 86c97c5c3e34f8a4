"""One call of one module, kept so that it can be made again: what it was given, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from exporter.components.models.caches import HeldCache, is_cache


@dataclass(frozen=True, slots=True)
class Call:
    """A call that can be made again.

    Attributes:
        path: of the module, as `named_modules` calls it.
        module: itself.
        args, kwargs: what it is given; the caches among them are those of `held`.
        held: caches to be put back after each time.
        outcome: samples of the tensors that the real pass got of it; None where they were not kept.
    """

    path: str
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    held: tuple[HeldCache, ...]
    outcome: tuple[Any, ...] | None = None

    def again(self) -> Any:
        """Make it, and put its caches back."""
        result = self.module(*self.args, **self.kwargs)
        for held in self.held:
            held.put_back()
        return result

    def settle(self) -> None:
        """Make it once, to see which layers of its caches it changes: only these will be put back from now on."""
        self.module(*self.args, **self.kwargs)
        for held in self.held:
            held.keep_only_changed()
            held.put_back()

    def twin(self, clones: dict[int, Any]) -> "Call":
        """The same call on tensors of its own.

        Args:
            clones: of tensors that twins of other calls have already, by their originals' ids; is added to.
        """

        def tensor(one: Any) -> Any:
            if id(one) not in clones:
                clones[id(one)] = one.clone()
            return clones[id(one)]

        held = {id(each.cache): each.twin(tensor) for each in self.held}

        def cache(one: Any) -> Any:
            return held[id(one)].cache

        args, kwargs = mapped(self.args, tensor, cache), mapped(self.kwargs, tensor, cache)
        return Call(self.path, self.module, args, kwargs, tuple(held.values()))

    @property
    def tensors(self) -> list[Any]:
        """All that it reads and that is not its module's own; each once."""
        found = {id(one): one for one in tensors_in((self.args, self.kwargs))}
        found |= {id(one): one for held in self.held for one in held.tensors}
        return list(found.values())

    @property
    def input_bytes(self) -> int:
        """Of these tensors."""
        return sum(one.nbytes for one in self.tensors)

    @property
    def weight_bytes(self) -> dict[int, int]:
        """Of the parameters of its module, by where they lie."""
        return {one.data_ptr(): one.nbytes for one in self.module.parameters()}


def mapped(tree: Any, tensor: Callable[[Any], Any], cache: Callable[[Any], Any]) -> Any:
    """The same arguments with every tensor and every cache replaced."""
    if isinstance(tree, torch.Tensor):
        return tensor(tree)
    if is_cache(tree):
        return cache(tree)
    if isinstance(tree, Mapping):  # Transformers' own outputs are mappings, and are built like dictionaries
        return type(tree)(**{key: mapped(value, tensor, cache) for key, value in tree.items()})
    if isinstance(tree, tuple | list):
        parts = [mapped(value, tensor, cache) for value in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return tree


def tensors_in(tree: Any) -> list[Any]:
    """All tensors of some arguments or of some result, in order; caches are left out."""
    found: list[Any] = []
    mapped(tree, found.append, lambda cache: cache)
    return found


def samples(result: Any, most: int = 65536) -> tuple[Any, ...]:
    """Of each tensor of a result every so manieth number, so that the whole of it need not be kept."""
    real = [torch.view_as_real(one) if one.is_complex() else one for one in tensors_in(result)]
    flat = [one.detach().reshape(-1) for one in real]
    return tuple(one[:: max(one.numel() // most, 1)].clone() for one in flat)
