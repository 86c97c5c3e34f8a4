from dataclasses import dataclass, field

import pytest

from exporter.components.subject import Subject
from exporter.components.sweep import Order, grid, run
from exporter.domain.dissection import Case, Dissection
from exporter.domain.errors import ComponentsError
from tests.dissections.examples import dissection


@dataclass
class Heard:
    """A watcher that remembers."""

    results: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def began(self, number: int, order: Order) -> None:
        assert order.words()
        self.numbers.append(number)

    def found(self, result: Dissection) -> None:
        self.results.append(result.model)

    def failed(self, order: Order, why: str) -> None:
        self.failures.append(f"{order.model}: {why}")


def prepared(order: Order) -> Subject:
    return Subject(order.model, "decoder", "random", 1, {}, order.case, [], lambda: None, "eager", {})


def measured(subject: Subject) -> Dissection:
    return dissection(subject.model, subject.case)


def orders(*models: str) -> list[Order]:
    return grid(models, [Case()])


def test_every_combination_is_asked_for_once() -> None:
    cases = [Case(batch=1), Case(batch=2)]
    those = grid(["a", "b"], cases, {"heads": [4, 8], "hidden_size": [64], "layers": []})
    assert len(those) == 2 * 2 * 2
    assert len({(one.model, one.case, one.changes["heads"]) for one in those}) == len(those)
    assert all(dict(one.changes).keys() == {"heads", "hidden_size"} for one in those)


def test_without_changes_a_model_is_as_it_is() -> None:
    assert [dict(one.changes) for one in orders("a")] == [{}]


def test_an_order_says_what_it_changes() -> None:
    assert Order("a", Case(), {"heads": 4}).words() == "a, prefill, batch 1, sequence 128, float32, sdpa, heads 4"


def test_everything_is_measured_in_order() -> None:
    heard = Heard()
    outcome = run(orders("a", "b"), prepared, measured, heard)
    assert (outcome.measured, outcome.failed, outcome.interrupted) == (2, [], False)
    assert heard.results == ["a", "b"]
    assert heard.numbers == [0, 1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ComponentsError("heads do not divide"), "b: heads do not divide"),
        (RuntimeError("CUDA out of memory. Tried\n to allocate"), "b: CUDA out of memory. Tried"),
        (MemoryError(), "b: MemoryError"),
    ],
)
@pytest.mark.parametrize("when", ["prepare", "measure"])
def test_a_case_that_fails_is_said_and_the_others_go_on(error: Exception, said: str, when: str) -> None:
    def failing(order: Order) -> Subject:
        if order.model == "b" and when == "prepare":
            raise error
        return prepared(order)

    def breaking(subject: Subject) -> Dissection:
        if subject.model == "b" and when == "measure":
            raise error
        return measured(subject)

    heard = Heard()
    outcome = run(orders("a", "b", "c"), failing, breaking, heard)
    assert heard.results == ["a", "c"]
    assert heard.failures == [said]
    assert (outcome.measured, len(outcome.failed)) == (2, 1)


def test_who_interrupts_keeps_what_was_found() -> None:
    def interrupted(subject: Subject) -> Dissection:
        if subject.model == "b":
            raise KeyboardInterrupt
        return measured(subject)

    heard = Heard()
    outcome = run(orders("a", "b", "c"), prepared, interrupted, heard)
    assert outcome.interrupted
    assert (outcome.measured, heard.results) == (1, ["a"])


def test_results_that_cannot_be_kept_end_the_sweep() -> None:
    class Full(Heard):
        def found(self, result: Dissection) -> None:
            raise ComponentsError(f"{result.model} cannot be written: disk full")

    with pytest.raises(ComponentsError, match="disk full"):
        run(orders("a", "b"), prepared, measured, Full())


def test_a_bug_of_ours_is_no_failed_case() -> None:
    def wrong(subject: Subject) -> Dissection:
        raise AssertionError(subject.model)

    with pytest.raises(AssertionError):
        run(orders("a"), prepared, wrong, Heard())
