from collections.abc import Sequence

import pytest

from exporter.components.models import SMALL_CATALOGUE, prepare
from exporter.components.subject import Part, Subject
from exporter.domain.dissection import Case, ForwardPhase
from exporter.domain.errors import ComponentsError

ENCODERS = [name for name, entry in SMALL_CATALOGUE.items() if entry.architecture == "encoder"]
WRITERS = [name for name in SMALL_CATALOGUE if name not in ENCODERS]
ALL_CASES = [(name, "prefill") for name in SMALL_CATALOGUE] + [(name, "decode") for name in WRITERS]


def prepared(name: str, phase: ForwardPhase = "prefill", **changes: int) -> Subject:
    return prepare(name, Case(phase=phase, batch=2, sequence=24), device="cpu", changes=changes)


def of(subject: Subject, component: str) -> list[Part]:
    return [part for part in subject.parts if part.component == component]


def names(parts: Sequence[Part]) -> list[str]:
    return [part.component for part in parts]


def flops(parts: Sequence[Part]) -> int:
    return sum((part.flops or 0) * part.instances for part in parts)


@pytest.mark.parametrize(("name", "phase"), ALL_CASES)
def test_every_model_is_taken_apart_and_no_multiplication_is_lost_or_counted_twice(
    name: str, phase: ForwardPhase
) -> None:
    subject = prepared(name, phase)

    for part in subject.parts:
        part.run(3)
    subject.synchronise()
    [model] = of(subject, "model")
    assert subject.parts[0] is model
    assert subject.architecture == SMALL_CATALOGUE[name].architecture
    assert flops([part for part in subject.parts if part.part_of == "model"]) == pytest.approx(model.flops, rel=1e-6)
    for block in of(subject, "block"):
        inside = [part for part in subject.parts if part.path.startswith(f"{block.path}.")]
        assert flops(inside) == pytest.approx(block.flops, rel=1e-6)
        assert {part.part_of for part in inside} == {"block"}


def test_a_decoder_has_these_parts() -> None:
    subject = prepared("llama-3.1-8b-small")

    assert [(part.component, part.path, part.part_of, part.instances) for part in subject.parts] == [
        ("model", "", None, 1),
        ("embedding", "model.embed_tokens", "model", 1),
        ("block", "model.layers.0", "model", 2),
        ("attention", "model.layers.0.self_attn", "block", 1),
        ("mlp", "model.layers.0.mlp", "block", 1),
        ("norm", "model.layers.0.input_layernorm", "block", 2),
        ("norm", "model.norm", "model", 1),
        ("lm_head", "lm_head", "model", 1),
    ]


def test_an_encoder_decoder_has_blocks_of_two_kinds_and_decodes_with_one() -> None:
    reading = of(prepared("bart-base-small"), "block")
    writing = prepared("bart-base-small", "decode")

    assert [block.path for block in reading] == ["model.encoder.layers.0", "model.decoder.layers.0"]
    assert [block.path for block in of(writing, "block")] == ["model.decoder.layers.0"]
    assert names([part for part in writing.parts if part.part_of == "block"]) == [
        "attention",
        "cross_attention",
        "mlp",
        "norm",
    ]


def test_a_mixture_has_router_and_experts_in_place_of_an_mlp() -> None:
    subject = prepared("qwen3-30b-a3b-small")

    assert names([part for part in subject.parts if part.part_of == "block"]) == [
        "attention",
        "router",
        "experts",
        "norm",
    ]
    assert subject.shape["experts"] == 8


def test_a_block_that_runs_several_times_has_as_many_instances() -> None:
    subject = prepared("albert-base-small", layers=5)

    [block] = of(subject, "block")
    assert block.instances == 5
    assert subject.parameters == prepared("albert-base-small").parameters


def test_what_is_swept_shows_in_the_shape_and_in_the_work() -> None:
    narrow, wide = prepared("gpt2-small"), prepared("gpt2-small", hidden_size=256, heads=8)

    assert (wide.shape["hidden_size"], wide.shape["heads"]) == (256, 8)
    assert of(wide, "mlp")[0].flops == 2 * (of(narrow, "mlp")[0].flops or 0)


def test_an_mlp_counts_two_flops_for_each_weight_and_token() -> None:
    # Llama: gate, up and down, each 128 by 256, over 2 x 24 tokens
    assert of(prepared("llama-3.1-8b-small"), "mlp")[0].flops == 2 * 3 * 128 * 256 * 48


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_counts_its_projections_its_scores_and_its_mean_of_values(attention: str) -> None:
    case = Case(batch=2, sequence=24, attention=attention)
    [part] = of(prepare("llama-3.1-8b-small", case, device="cpu"), "attention")

    projections = 2 * (2 * 128 * 128 + 2 * 128 * 64) * 48  # queries and output; keys and values of half as many heads
    scores = 2 * 2 * (2 * 4 * 24 * 24 * 32)  # twice a product of (24, 32) and (32, 24) for 2 sequences and 4 heads
    assert part.flops == projections + scores


def test_decoding_attends_to_the_cache_and_to_itself() -> None:
    [part] = of(prepared("phi-2-small", "decode"), "attention")

    assert part.flops == 2 * 4 * 128 * 128 * 2 + 2 * 2 * (2 * 4 * 1 * 25 * 32)


def test_experts_count_as_many_as_each_token_goes_to() -> None:
    # OLMoE: 2 of 8 experts, each with gate, up and down
    assert of(prepared("olmoe-1b-7b-small"), "experts")[0].flops == 2 * (2 * 3 * 128 * 256) * 48


def test_norms_and_look_ups_have_no_flops_rather_than_none_at_all() -> None:
    subject = prepared("gpt2-small")

    assert {part.flops for part in [*of(subject, "norm"), *of(subject, "embedding")]} == {None}


def test_a_subject_says_what_it_was_made_with() -> None:
    subject = prepared("gpt2-small")

    assert {"python", "torch", "transformers"} <= subject.software.keys()
    assert (subject.weights, subject.launch, subject.gpu) == ("random", "eager", None)
    assert subject.case == Case(batch=2, sequence=24)


def test_a_model_without_that_attention_is_captured_with_another_and_says_so() -> None:
    assert prepared("gpt-oss-20b-small").case.attention == "eager"


def test_lower_precision_works_as_well() -> None:
    subject = prepare("qwen3-1.7b-small", Case(phase="decode", sequence=8, dtype="bfloat16"), device="cpu")

    assert subject.case.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("name", "case", "words"),
    [
        ("bert-base-small", Case(phase="decode"), "is an encoder: it reads all tokens at once"),
        ("bert-base-small", Case(sequence=513), "has 512 positions, and the case needs 513"),
        ("roberta-base-small", Case(sequence=513), "has 512 positions, and the case needs 513"),
        ("gpt2-small", Case(phase="decode", sequence=1024), "has 1024 positions, and the case needs 1025"),
        ("gpt2-small", Case(batch=0), "both must be 1 or more"),
        ("gpt2-small", Case(dtype="int8"), "no such floating-point type"),
        ("gpt2-small", Case(dtype="load"), "no such floating-point type"),
        ("gpt2-small", Case(attention="magic"), "gpt2-small: cannot be built"),
    ],
)
def test_a_case_that_cannot_be_is_refused_with_the_reason(name: str, case: Case, words: str) -> None:
    with pytest.raises(ComponentsError, match=words):
        prepare(name, case, device="cpu")


@pytest.mark.parametrize(("device", "words"), [("tpu", "is unknown"), ("meta", "is not supported")])
def test_a_device_that_cannot_be_is_refused(device: str, words: str) -> None:
    with pytest.raises(ComponentsError, match=words):
        prepare("gpt2-small", Case(), device=device)


def test_cuda_graphs_need_cuda() -> None:
    with pytest.raises(ComponentsError, match="CUDA graphs need a GPU"):
        prepare("gpt2-small", Case(), device="cpu", launch="graph")
