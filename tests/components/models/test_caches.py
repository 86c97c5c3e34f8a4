"""Caches go back: at once where a layer is appended to, and when they are put back whatever was done to them."""

import torch
from transformers import DynamicCache

from exporter.components.models.caches import HeldCache


def held(tokens: int = 3, layers: int = 2) -> HeldCache:
    cache = DynamicCache()
    for layer in range(layers):
        append(cache, layer, tokens)
    return HeldCache(cache)


def append(cache: DynamicCache, layer: int, tokens: int = 1) -> int:
    """How many tokens attention is handed."""
    states = torch.zeros(1, 2, tokens, 4)
    keys, _ = cache.update(states, states, layer)
    return int(keys.shape[-2])


def test_a_layer_goes_back_as_soon_as_it_has_handed_out_the_longer_tensors() -> None:
    cache = held()
    assert [append(cache.cache, 0), append(cache.cache, 0)] == [4, 4]
    assert cache.lengths == [3, 3]


def test_what_was_done_otherwise_is_undone_when_it_is_put_back() -> None:
    cache = held()
    layer = cache.cache.layers[1]
    layer.keys = layer.values = torch.zeros(1, 2, 9, 4)
    assert cache.lengths == [3, 9]
    cache.put_back()
    assert cache.lengths == [3, 3]


def test_only_what_has_ever_changed_is_kept_for_putting_back() -> None:
    cache = held()
    append(cache.cache, 1)
    cache.keep_only_changed()
    assert {id(one) for one in cache.tensors} == {id(cache.cache.layers[1].keys), id(cache.cache.layers[1].values)}


def test_a_twin_holds_the_same_in_tensors_of_its_own() -> None:
    cache = held()
    twin = cache.twin(torch.clone)
    assert twin.lengths == cache.lengths
    assert {one.data_ptr() for one in twin.tensors}.isdisjoint(one.data_ptr() for one in cache.tensors)
    assert append(twin.cache, 0) == 4
    assert twin.lengths == cache.lengths == [3, 3]


def test_the_cache_that_it_was_made_of_is_left_alone() -> None:
    cache = DynamicCache()
    append(cache, 0, 3)
    append(HeldCache(cache).cache, 0)
    assert append(cache, 0) == 4
    assert cache.get_seq_length() == 4
