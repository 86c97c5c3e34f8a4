import json
from pathlib import Path
from typing import Any

import pytest
import torch

from exporter.components.models import CATALOGUE, loading, prepare
from exporter.components.models.loading import load, quiet
from exporter.components.models.preparing import Order, take_apart
from exporter.domain.dissection import Case
from exporter.domain.errors import ComponentsError

PUBLISHED = {  # parameters of the checkpoints that the catalogue follows, with their heads, tied ones once
    "bert-base": 109_514_298,
    "roberta-base": 124_697_433,
    "distilbert-base": 66_985_530,
    "albert-base": 11_221_680,
    "modernbert-base": 149_655_232,
    "gpt2": 124_439_808,
    "llama-3.1-8b": 8_030_261_248,
    "qwen3-1.7b": 1_720_574_976,
    "gemma-3-1b": 999_885_952,
    "phi-2": 2_779_683_840,
    "t5-base": 222_903_552,
    "bart-base": 139_420_416,
    "olmoe-1b-7b": 6_919_161_856,
    "qwen3-30b-a3b": 30_532_122_624,
    "gpt-oss-20b": 20_914_757_184,
}
CASE = Case(sequence=8)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    with quiet():
        torch.manual_seed(11)
        load("gpt2-small", CASE, {}, None, torch.device("cpu")).module.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_configuration_has_as_many_parameters_as_the_model_it_follows(name: str) -> None:
    with quiet():
        model = load(name, CASE, {}, None, torch.device("meta"))

    assert model.parameters == PUBLISHED[name]


def test_random_weights_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    def head(seed: int) -> Any:
        taken = take_apart(Order("gpt2-small", CASE, "cpu", {}, None, "eager", seed), torch.device("cpu"))
        return taken.model.module.lm_head.weight

    with quiet():
        assert torch.equal(head(5), head(5))
        assert not torch.equal(head(5), head(6))


def test_randomness_of_others_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    prepare("gpt2-small", CASE, device="cpu", seed=5)

    assert torch.equal(torch.rand(3), expected)


def test_weights_of_a_local_directory_are_read(saved: Path) -> None:
    with quiet():
        model = load("gpt2-small", CASE, {}, str(saved), torch.device("cpu"))
        torch.manual_seed(11)
        original = load("gpt2-small", CASE, {}, None, torch.device("cpu"))

    assert model.weights == str(saved)
    for path, weight in original.module.state_dict().items():
        torch.testing.assert_close(model.module.state_dict()[path], weight)


def test_a_local_directory_with_only_a_configuration_gets_random_weights(tmp_path: Path) -> None:
    config = {"model_type": "mistral", "vocab_size": 256, "hidden_size": 64, "num_hidden_layers": 1}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96, "head_dim": 16}
    (tmp_path / "config.json").write_text(json.dumps(config))

    subject = prepare(str(tmp_path), Case(phase="decode", sequence=8), device="cpu", changes={"layers": 2})

    assert (subject.model, subject.weights, subject.architecture) == (str(tmp_path), "random", "decoder")
    assert subject.shape["layers"] == 2


SMALL = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 128, "pad_token_id": 0}
MIXTURE = {**SMALL, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "intermediate_size": 96}


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (
            {**MIXTURE, "model_type": "qwen2_moe", "num_experts": 6, "shared_expert_intermediate_size": 48},
            [{"attention", "router", "experts", "mlp", "norm"}],
        ),
        (
            {**MIXTURE, "model_type": "glm4_moe", "n_routed_experts": 4, "first_k_dense_replace": 1, "head_dim": 16},
            [{"attention", "mlp", "norm"}, {"attention", "router", "experts", "mlp", "norm"}],
        ),
        ({**SMALL, "model_type": "gpt_neox", "intermediate_size": 96}, [{"attention", "mlp", "norm"}]),
    ],
)
def test_a_family_that_nobody_here_has_heard_of_is_taken_apart_by_its_structure(
    tmp_path: Path, config: dict[str, object], parts: list[set[str]]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))

    subject = prepare(str(tmp_path), Case(phase="decode", sequence=8), device="cpu")

    blocks = [part for part in subject.parts if part.component == "block"]
    inside = [[one for one in subject.parts if one.path.startswith(f"{block.path}.")] for block in blocks]
    assert [{one.component for one in group} for group in inside] == parts
    for block, group in zip(blocks, inside, strict=True):
        assert sum((one.flops or 0) * one.instances for one in group) == block.flops


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 99}, "cannot be taken apart"),
        ({"model_type": "vit", "hidden_size": 64, "num_hidden_layers": 1}, "vit is no language model"),
        ({"model_type": "no-such-model"}, "Transformers cannot read it"),
        (
            {"model_type": "mistral", "hidden_size": 63, "num_attention_heads": 3},
            "cannot read it: .* even rotary dimension|its prefill fails",  # older releases read it
        ),
        (
            {**SMALL, "model_type": "mistral", "head_dim": 16, "num_key_value_heads": 8},
            "its prefill fails: RuntimeError",
        ),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_with_what_was_looked_for(
    tmp_path: Path, config: dict[str, object], words: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(ComponentsError, match=words):
        prepare(str(tmp_path), CASE, device="cpu")


def test_a_name_that_is_nothing_here_is_not_looked_for_elsewhere() -> None:
    with pytest.raises(ComponentsError, match="neither in the catalogue nor a local directory"):
        prepare("openai-community/gpt2", CASE, device="cpu")


def test_a_directory_without_weights_says_which_files_were_looked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))

    with pytest.raises(ComponentsError, match=r"holds no weights \(\*\.safetensors"):
        prepare("gpt2", CASE, device="cpu", weights=str(tmp_path))


def test_weights_that_are_nowhere_are_not_fetched() -> None:
    with pytest.raises(ComponentsError, match=r"not a local directory with a config\.json"):
        prepare("gpt2", CASE, device="cpu", weights="openai-community/gpt2")


def test_weights_of_another_family_are_refused(saved: Path) -> None:
    with pytest.raises(ComponentsError, match="holds a gpt2, and bert-base is a bert"):
        prepare("bert-base", CASE, device="cpu", weights=str(saved))


def test_weights_fit_only_their_own_configuration(saved: Path) -> None:
    with pytest.raises(ComponentsError, match="fit their own configuration: leave out layers"):
        prepare("gpt2-small", CASE, device="cpu", weights=str(saved), changes={"layers": 3})


def test_a_model_that_does_not_fit_into_memory_is_refused_before_its_weights_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "free_bytes", lambda _device: 28_000_000_000)
    with pytest.raises(ComponentsError, match=r"qwen3-30b-a3b: too little memory on cpu: weights of 61\.1 GB"):
        prepare("qwen3-30b-a3b", Case(sequence=8, dtype="bfloat16"), device="cpu")
    monkeypatch.setattr(loading, "free_bytes", lambda _device: 1_000_000)
    with pytest.raises(ComponentsError, match=r"and 0\.0 GB are free"):
        prepare("gpt2-small", CASE, device="cpu")
