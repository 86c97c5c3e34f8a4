"""Keys and values of earlier tokens: held as they were before a call, and put back after it.

Attention appends to the cache that it is given, so a call that is replayed would attend to one token more each time. A
dynamic cache of Transformers does not write into its tensors: it makes longer ones and points to these. So a layer of
a cache is put back by pointing to the old ones again, which costs nothing and copies nothing.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers.cache_utils import Cache, EncoderDecoderCache


class HeldCache:
    """A cache of its own, that begins with what another one holds now, and can go back to that.

    Args:
        cache: a `Cache` of Transformers; is left alone. Tensors are shared with it.
        tensor: makes of each tensor the one to hold.
    """

    def __init__(self, cache: Any, tensor: Callable[[Any], Any] = lambda tensor: tensor) -> None:
        self.cache = _copied(cache, tensor)
        self._states = [(layer, dict(vars(layer))) for layer in _layers(self.cache)]
        self._updated = dict(getattr(self.cache, "is_updated", {}))

    def put_back(self) -> None:
        """Make it hold what it held at first."""
        for layer, state in self._states:
            vars(layer).update(state)
        if isinstance(self.cache, EncoderDecoderCache) and self.cache.is_updated != self._updated:
            self.cache.is_updated = dict(self._updated)

    def keep_only_changed(self) -> None:
        """From now on put back only those layers that are not as they were at first."""
        self._states = [pair for pair in self._states if _differs(*pair)]

    def twin(self, tensor: Callable[[Any], Any]) -> "HeldCache":
        """Another one that holds the same, with tensors of its own in the layers that are put back."""
        own = {id(one) for one in self.tensors}
        other = HeldCache(self.cache, lambda one: tensor(one) if id(one) in own else one)
        kept = {id(layer) for layer, _ in self._states}
        pairs = zip(_layers(self.cache), other._states, strict=True)
        other._states = [pair for layer, pair in pairs if id(layer) in kept]
        return other

    @property
    def tensors(self) -> list[Any]:
        """Of the layers that are put back."""
        return [value for _, state in self._states for value in state.values() if isinstance(value, torch.Tensor)]

    @property
    def lengths(self) -> list[int]:
        """Tokens that each layer holds now."""
        return [int(layer.get_seq_length()) for layer in _layers(self.cache)]


def is_cache(value: object) -> bool:
    """Whether something is a cache of Transformers."""
    return isinstance(value, Cache)


def _copied(cache: Any, tensor: Callable[[Any], Any]) -> Any:
    twin = copy.copy(cache)
    if isinstance(cache, EncoderDecoderCache):
        twin.self_attention_cache = _copied(cache.self_attention_cache, tensor)
        twin.cross_attention_cache = _copied(cache.cross_attention_cache, tensor)
        twin.is_updated = dict(cache.is_updated)
    else:
        twin.layers = [_copied_layer(layer, tensor) for layer in cache.layers]
    return twin


def _copied_layer(layer: Any, tensor: Callable[[Any], Any]) -> Any:
    twin = copy.copy(layer)
    vars(twin).update({key: tensor(value) for key, value in vars(layer).items() if isinstance(value, torch.Tensor)})
    return twin


def _layers(cache: Any) -> Iterator[Any]:
    if isinstance(cache, EncoderDecoderCache):
        yield from _layers(cache.self_attention_cache)
        yield from _layers(cache.cross_attention_cache)
    else:
        yield from cache.layers


def _differs(layer: Any, state: dict[str, Any]) -> bool:
    return any(vars(layer).get(key) is not value for key, value in state.items())
