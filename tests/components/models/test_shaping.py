import pytest

from exporter.components.models import CATALOGUE
from exporter.components.models.shaping import changed, shape_of
from exporter.domain.errors import ComponentsError

LLAMA = dict(CATALOGUE["llama-3.1-8b"].values)
GPT2 = dict(CATALOGUE["gpt2"].values)
BART = dict(CATALOGUE["bart-base"].values)
T5 = dict(CATALOGUE["t5-base"].values)
QWEN3_MOE = dict(CATALOGUE["qwen3-30b-a3b"].values)


def test_a_word_means_the_same_in_every_family() -> None:
    changes = {"layers": 3, "intermediate_size": 96}

    assert changed("llama", LLAMA, changes)["num_hidden_layers"] == 3
    assert changed("gpt2", GPT2, changes)["n_layer"] == 3
    assert changed("gpt2", GPT2, changes)["n_inner"] == 96
    assert changed("t5", T5, changes)["d_ff"] == 96


def test_both_stacks_of_an_encoder_decoder_change_together() -> None:
    result = changed("bart", BART, {"layers": 2, "heads": 8})

    assert (result["encoder_layers"], result["decoder_layers"]) == (2, 2)
    assert (result["encoder_attention_heads"], result["decoder_attention_heads"]) == (8, 8)


def test_more_heads_are_narrower_ones_and_share_keys_and_values_as_before() -> None:
    shape = shape_of(changed("llama", LLAMA, {"heads": 16}))

    assert (shape["heads"], shape["kv_heads"], shape["head_dim"]) == (16, 4, 256)


def test_a_wider_model_has_wider_heads() -> None:
    assert shape_of(changed("llama", LLAMA, {"hidden_size": 2048}))["head_dim"] == 64
    assert shape_of(changed("gpt2", GPT2, {"hidden_size": 384}))["head_dim"] == 32


def test_attention_wider_than_the_model_stays_so_in_proportion() -> None:
    # Qwen3-30B-A3B: 32 heads of 128 are twice its hidden size
    shape = shape_of(changed("qwen3", QWEN3_MOE, {"hidden_size": 1024, "heads": 16}))

    assert shape["heads"] * shape["head_dim"] == 2048


def test_the_width_of_experts_is_changed_where_they_have_one_of_their_own() -> None:
    result = changed("qwen3", QWEN3_MOE, {"intermediate_size": 256})

    assert (result["moe_intermediate_size"], result["intermediate_size"]) == (256, 6144)


def test_a_pattern_of_kinds_of_layers_goes_on_as_it_began() -> None:
    values = {"num_hidden_layers": 4, "layer_types": ["sliding", "full", "sliding", "full"]}

    assert changed("x", values, {"layers": 3})["layer_types"] == ["sliding", "full", "sliding"]
    assert changed("x", values, {"layers": 6})["layer_types"] == ["sliding", "full"] * 3


def test_the_configuration_that_is_changed_stays_as_it_was() -> None:
    before = dict(LLAMA)
    changed("llama", LLAMA, {"layers": 1})

    assert before == LLAMA


@pytest.mark.parametrize(
    ("values", "changes", "words"),
    [
        (GPT2, {"heads": 7}, "7 heads cannot share an attention 768 wide"),
        (LLAMA, {"heads": 2}, "take a multiple of 4"),
        (GPT2, {"hidden_size": 100}, "12 heads cannot share an attention 100 wide"),
        (GPT2, {"layers": 0}, "layers=0: must be 1 or more"),
        (GPT2, {"depth": 3}, "depth: cannot be changed; one of hidden_size"),
        (GPT2, {"experts": 3}, "experts=3: m has none"),
        (QWEN3_MOE, {"experts": 4}, "each token goes to 8"),
    ],
)
def test_what_cannot_be_had_is_said(values: dict[str, object], changes: dict[str, int], words: str) -> None:
    with pytest.raises(ComponentsError, match=words):
        changed("m", values, changes)


def test_a_shape_tells_both_stacks_and_experts() -> None:
    assert shape_of(T5)["decoder_layers"] == 12
    assert shape_of(QWEN3_MOE)["experts"] == 128
    assert shape_of(QWEN3_MOE)["experts_per_token"] == 8
    assert "experts" not in shape_of(GPT2)
