import sys
from collections import Counter

import pytest

from exporter.components.models import CATALOGUE, SMALL_CATALOGUE, prepare
from exporter.domain.dissection import Case
from exporter.domain.errors import ComponentsError


def test_fifteen_models_of_four_architectures_are_ready_by_name() -> None:
    architectures = Counter(entry.architecture for entry in CATALOGUE.values())

    assert len(CATALOGUE) == 15
    assert architectures == {"encoder": 5, "decoder": 5, "encoder_decoder": 2, "mixture_of_experts": 3}


def test_each_says_whom_it_follows_and_is_found_under_its_own_name() -> None:
    assert all(name == entry.name for name, entry in CATALOGUE.items())
    assert all(entry.follows.count("/") == 1 for entry in CATALOGUE.values())
    assert len({entry.follows for entry in CATALOGUE.values()}) == 15


def test_each_has_a_small_variant_of_the_same_family_with_the_same_keys() -> None:
    for name, entry in CATALOGUE.items():
        small = SMALL_CATALOGUE[f"{name}-small"]
        assert (small.model_type, small.architecture) == (entry.model_type, entry.architecture)
        assert small.values.keys() == entry.values.keys()
        assert small.values["vocab_size"] == 1024


def test_a_small_variant_shares_keys_and_values_among_heads_as_its_big_sister_does() -> None:
    kv_heads = {name: entry.values.get("num_key_value_heads") for name, entry in SMALL_CATALOGUE.items()}

    assert kv_heads["phi-2-small"] == 4
    assert kv_heads["llama-3.1-8b-small"] == 2
    assert kv_heads["gemma-3-1b-small"] == 1
    assert kv_heads["bert-base-small"] is None


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("exporter.components.models.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ComponentsError, match=r"pip install 'llm-energy-exporter\[components\]'"):
        prepare("gpt2-small", Case())
