"""Keys and values of earlier tokens: held as they were before a call, whatever the call does to them.

Attention appends to the cache that it is given, so a call that is replayed would attend to one token more each time. A
dynamic cache of Transformers does not write into its tensors: it makes longer ones and points to these. So a layer of
a cache goes back by pointing to the old ones again, which costs nothing and copies nothing.

It does so as soon as it has handed out the longer ones. In a real pass each layer's longer tensors take the place of
shorter ones, which are freed; were they all kept until the end of a replayed pass, memory that was never touched would
be asked for each time, and on a CPU that alone made a decoding GPT-2 a fifth slower.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, EncoderDecoderCache


@dataclass(slots=True)
class _HeldLayer:
    """A layer of a cache. `state` is what it goes back to; `touched` is whether anybody appended to it."""

    layer: Any
    state: dict[str, Any]
    touched: bool = False

    def forget(self) -> None:
        """Let the layer go back by itself after each time that it is appended to."""
        append = getattr(type(self.layer), "update", None)
        if append is None:  # a layer that keeps a state of another kind; `put_back` sees to it
            return

        def update(*args: Any, **kwargs: Any) -> Any:
            longer = append(self.layer, *args, **kwargs)
            self.touched = True
            vars(self.layer).update(self.state)
            return longer

        self.layer.update = update

    @property
    def has_changed(self) -> bool:
        now = vars(self.layer)
        return self.touched or any(now.get(key) is not value for key, value in self.state.items())

    @property
    def tensors(self) -> list[Any]:
        return [value for value in self.state.values() if isinstance(value, torch.Tensor)]


class HeldCache:
    """A cache of its own, that begins with what another one holds now, and always goes back to that.

    Args:
        cache: a `Cache` of Transformers; is left alone. Tensors are shared with it.
        tensor: makes of each tensor the one to hold.
    """

    def __init__(self, cache: Any, tensor: Callable[[Any], Any] = lambda tensor: tensor) -> None:
        self.cache = copied(cache, tensor)
        self._layers = [_HeldLayer(layer, dict(vars(layer))) for layer in _layers(self.cache)]
        self._updated = dict(getattr(self.cache, "is_updated", {}))
        for held in self._layers:
            held.forget()

    def put_back(self) -> None:
        """Put back what has not gone back by itself."""
        for held in self._layers:
            vars(held.layer).update(held.state)
        if isinstance(self.cache, EncoderDecoderCache) and self.cache.is_updated != self._updated:
            self.cache.is_updated = dict(self._updated)

    def keep_only_changed(self) -> None:
        """From now on put back only those layers that have ever changed."""
        self._layers = [held for held in self._layers if held.has_changed]

    def twin(self, tensor: Callable[[Any], Any]) -> "HeldCache":
        """Another one that holds the same, with tensors of its own in the layers that are put back."""
        own = {id(one) for one in self.tensors}
        other = HeldCache(self.cache, lambda one: tensor(one) if id(one) in own else one)
        kept = {id(held.layer) for held in self._layers}
        pairs = zip(_layers(self.cache), other._layers, strict=True)
        other._layers = [held for layer, held in pairs if id(layer) in kept]
        return other

    @property
    def tensors(self) -> list[Any]:
        """Of the layers that are put back."""
        return [one for held in self._layers for one in held.tensors]

    @property
    def lengths(self) -> list[int]:
        """Tokens that each layer holds now."""
        return [int(layer.get_seq_length()) for layer in _layers(self.cache)]


def is_cache(value: object) -> bool:
    """Whether something is a cache of Transformers."""
    return isinstance(value, Cache)


def copied(cache: Any, tensor: Callable[[Any], Any] = lambda tensor: tensor) -> Any:
    """A cache that holds the same and may grow by itself; see `HeldCache`."""
    twin = copy.copy(cache)
    if isinstance(cache, EncoderDecoderCache):
        twin.self_attention_cache = copied(cache.self_attention_cache, tensor)
        twin.cross_attention_cache = copied(cache.cross_attention_cache, tensor)
        twin.is_updated = dict(cache.is_updated)
    else:
        twin.layers = [_copied_layer(layer, tensor) for layer in cache.layers]
    return twin


def _copied_layer(layer: Any, tensor: Callable[[Any], Any]) -> Any:
    twin = copy.copy(layer)
    state = vars(twin)
    state.pop("update", None)  # is bound to the layer that it makes forget
    state.update({key: tensor(value) for key, value in state.items() if isinstance(value, torch.Tensor)})
    return twin


def _layers(cache: Any) -> Iterator[Any]:
    if isinstance(cache, EncoderDecoderCache):
        yield from _layers(cache.self_attention_cache)
        yield from _layers(cache.cross_attention_cache)
    else:
        yield from cache.layers
