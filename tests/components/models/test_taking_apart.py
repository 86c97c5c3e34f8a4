"""What is replayed is what the real pass ran: the whole point of replaying it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from exporter.components.models import Launch, prepare
from exporter.components.models.calls import Call, samples, tensors_in
from exporter.components.models.loading import quiet
from exporter.components.models.passes import pass_inputs
from exporter.components.models.preparing import Order, TakenApart, take_apart
from exporter.components.models.replaying import MOST_SLOTS, eager, rotation
from exporter.domain.dissection import Case, ForwardPhase
from exporter.domain.errors import ComponentsError

CPU = torch.device("cpu")
CASES: list[tuple[str, ForwardPhase]] = [
    ("bert-base-small", "prefill"),
    ("albert-base-small", "prefill"),
    ("modernbert-base-small", "prefill"),
    ("gpt2-small", "prefill"),
    ("gpt2-small", "decode"),
    ("gemma-3-1b-small", "decode"),
    ("t5-base-small", "prefill"),
    ("t5-base-small", "decode"),
    ("bart-base-small", "decode"),
    ("olmoe-1b-7b-small", "prefill"),
    ("olmoe-1b-7b-small", "decode"),
    ("gpt-oss-20b-small", "decode"),
]


def order(name: str, phase: ForwardPhase = "prefill", **changes: int) -> Order:
    return Order(name, Case(phase=phase, batch=2, sequence=24), "cpu", changes, None, "eager", 3)


def taken_apart(name: str, phase: ForwardPhase = "prefill", **changes: int) -> TakenApart:
    with quiet():
        return take_apart(order(name, phase, **changes), CPU)


def calls_of(taken: TakenApart) -> list[Call]:
    return [call for _, slots in taken.components for slot in slots for call in slot]


def results_of_a_real_pass(taken: TakenApart, phase: ForwardPhase) -> dict[str, list[list[Any]]]:
    """What each module gave, each time, in a pass of the model that nothing of ours but a plain hook has seen."""
    results: dict[str, list[list[Any]]] = {}

    def keep(path: str) -> Any:
        return lambda _module, _args, result: results.setdefault(path, []).append(
            [one.clone() for one in tensors_in(result)]
        )

    inputs = pass_inputs(taken.model, order(taken.model.name, phase).case, CPU, 3)
    hooks = [module.register_forward_hook(keep(path)) for path, module in taken.model.module.named_modules()]
    with torch.no_grad():
        taken.model.module(**inputs)
    for hook in hooks:
        hook.remove()
    return results


@pytest.mark.parametrize(("name", "phase"), CASES)
def test_each_component_replayed_gives_what_it_gave_in_the_real_pass_time_after_time(
    name: str, phase: ForwardPhase
) -> None:
    taken = taken_apart(name, phase)
    real = results_of_a_real_pass(taken, phase)

    with torch.inference_mode():
        for one, slots in taken.components:
            times: Counter[str] = Counter()
            for call in (call for slot in slots for call in slot):
                expected = real[call.path][times[call.path]]
                times[call.path] += 1
                for _ in range(3):
                    torch.testing.assert_close(tensors_in(call.again()), expected)
            assert times, f"{one.component} runs nothing"


@pytest.mark.parametrize(
    ("name", "lengths"),
    [("gpt2-small", {24}), ("gemma-3-1b-small", {24, 15}), ("t5-base-small", {24}), ("bart-base-small", {24})],
)
def test_a_cache_never_grows_by_replaying(name: str, lengths: set[int]) -> None:
    taken = taken_apart(name, "decode")
    calls = [call for call in calls_of(taken) if call.held]
    before = [[held.lengths for held in call.held] for call in calls]
    appended = [one for call in calls for held in call.held for one in held.tensors if one.dim() == 4]

    with torch.inference_mode():
        for call in calls:
            for _ in range(5):
                call.again()

    assert {keys.shape[-2] for keys in appended} == lengths
    assert [[held.lengths for held in call.held] for call in calls] == before


def test_a_prompt_is_replayed_into_a_cache_that_is_empty_each_time() -> None:
    attention = [call for call in calls_of(taken_apart("gpt2-small")) if call.path == "transformer.h.0.attn"]

    with torch.inference_mode():
        first, second = samples(attention[0].again()), samples(attention[0].again())

    assert [held.lengths for held in attention[0].held] == [[0, 0]]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_component_goes_round_over_the_layers_first() -> None:
    attention = next(slots for one, slots in taken_apart("gpt2-small").components if one.component == "attention")

    assert [call.path for slot in attention for call in slot] == ["transformer.h.0.attn", "transformer.h.1.attn"]


def test_the_calls_of_one_block_that_is_run_again_and_again_are_told_apart() -> None:
    taken = taken_apart("albert-base-small", layers=3)
    blocks = next(slots for one, slots in taken.components if one.component == "block")
    inputs = [slot[0].args[0] for slot in blocks]

    assert len({slot[0].path for slot in blocks}) == 1
    assert not torch.equal(inputs[0], inputs[1])
    assert not torch.equal(inputs[1], inputs[2])


def test_copies_are_made_until_a_round_exceeds_the_cache() -> None:
    slots = next(slots for one, slots in taken_apart("gpt2-small").components if one.component == "attention")
    inputs = sum(one.nbytes for one in {id(t): t for slot in slots for t in slot[0].tensors}.values())
    weights = sum(sum(slot[0].weight_bytes.values()) for slot in slots)

    assert len(rotation(slots, cache_bytes=weights, budget_bytes=10**9)) == len(slots)
    assert len(rotation(slots, cache_bytes=weights + 3 * inputs, budget_bytes=10**9)) == 4 * len(slots)
    assert len(rotation(slots, cache_bytes=weights + 3 * inputs, budget_bytes=inputs)) == 2 * len(slots)
    assert len(rotation(slots, cache_bytes=10**12, budget_bytes=10**12)) == MOST_SLOTS


def test_copies_lie_elsewhere_and_say_the_same() -> None:
    slots = next(slots for one, slots in taken_apart("gpt2-small", "decode").components if one.component == "attention")
    copies = rotation(slots, cache_bytes=10**7, budget_bytes=10**9)[len(slots) : 2 * len(slots)]

    with torch.inference_mode():
        for slot, copy in zip(slots, copies, strict=True):
            places = {one.data_ptr() for one in slot[0].tensors}
            assert places.isdisjoint(one.data_ptr() for one in copy[0].tensors)
            torch.testing.assert_close(copy[0].again()[0], slot[0].again()[0])
            assert copy[0].input_bytes == slot[0].input_bytes


def test_runs_take_turns_from_one_order_to_the_next() -> None:
    with counted_calls() as counts:
        slots = [(counts.call(name),) for name in "abc"]
        run = eager(slots)
        run(2)
        run(3)

    assert counts.seen == ["a", "b", "c", "a", "b"]


def test_without_gradients_nothing_is_written_down_for_them() -> None:
    with counted_calls() as counts:
        eager([(counts.call("a"),)])(1)

    assert counts.inference == [True]


class Counts:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.inference: list[bool] = []

    def call(self, name: str) -> Call:
        def module() -> None:
            self.seen.append(name)
            self.inference.append(torch.is_inference_mode_enabled())

        return Call(name, module, (), {}, ())


@contextmanager
def counted_calls() -> Iterator[Counts]:
    yield Counts()


def test_memory_bounds_how_many_layers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.components.models.preparing.memory_budget_bytes", lambda _device: 1)

    taken = taken_apart("gpt2-small", layers=4)

    assert {len(slots) for _, slots in taken.components} == {1}
    assert Counter(one.component for one, _ in taken.components)["block"] == 1
    assert next(one.instances for one, _ in taken.components if one.component == "block") == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("launch", ["eager", "graph"])
@pytest.mark.parametrize("name", ["gpt2-small", "olmoe-1b-7b-small", "t5-base-small"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_on_a_gpu_every_part_runs_by_kernels_and_by_graphs(name: str, phase: ForwardPhase, launch: Launch) -> None:
    case = Case(phase=phase, batch=2, sequence=24, dtype="bfloat16")
    subject = prepare(name, case, device="cuda", launch=launch)

    for part in subject.parts:
        part.run(2 * MOST_SLOTS + 1)
        subject.synchronise()

    assert subject.gpu is not None
    assert subject.software["cuda"] == torch.version.cuda


def test_a_replay_that_gives_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy(self: Call) -> Any:
        return self.module(*self.args, **self.kwargs)[0] + 1.0 if self.path.endswith("mlp") else original(self)

    original = Call.again
    monkeypatch.setattr(Call, "again", noisy)

    with pytest.raises(
        ComponentsError, match=r"mlp \(transformer\.h\.0\.mlp\) replayed gives another result than it gave"
    ):
        taken_apart("gpt2-small")
