import pytest

from exporter.components.fit import Line, fitted, lines, series
from exporter.domain.dissection import Case
from tests.dissections.examples import CPU, dissection, sweep


def line(found: list[Line], component: str) -> Line:
    return next(one for one in found if one.series.component == component)


def test_a_line_without_noise_is_found_exactly() -> None:
    attention = line(lines(sweep((64, 128, 256, 512), at_rest=1.5)), "attention")
    assert attention.at_rest_joules == pytest.approx(1.5)
    assert attention.per_flop_joules == pytest.approx(1e-6)
    assert attention.r2 == pytest.approx(1.0)
    assert attention.series.values == (64, 128, 256, 512)


def test_energy_that_does_not_follow_flops_has_a_low_r2() -> None:
    joules = {64: 5.0, 128: 1.0, 256: 5.0, 512: 1.0}
    those = [dissection(case=Case(sequence=at), attention=each, flops=at * 1000) for at, each in joules.items()]
    r2 = line(lines(those), "attention").r2
    assert r2 is not None
    assert r2 < 0.5


def test_energy_that_does_not_vary_has_no_r2() -> None:
    assert line(lines(sweep()), "mlp").r2 is None


def test_two_sizes_make_no_line() -> None:
    assert lines(sweep((64, 128))) == []


def test_a_component_whose_flops_do_not_vary_makes_no_line() -> None:
    those = [dissection(case=Case(sequence=at), flops=1000) for at in (1, 2, 3)]
    assert lines(those) == []


def test_components_without_flops_are_left_out() -> None:
    assert {one.component for one in series(sweep())} == {"model", "block", "attention", "mlp", "lm_head"}


def test_what_is_not_alike_is_not_joined() -> None:
    mixed = [*sweep((64, 128)), dissection(case=Case(sequence=256, dtype="bfloat16"), flops=99)]
    assert lines(mixed) == []
    assert lines([*sweep((64, 128)), dissection(case=Case(sequence=256), device=CPU, flops=99)]) == []


@pytest.mark.parametrize("axis", ["batch", "hidden_size", "heads"])
def test_other_axes_are_swept_too(axis: str) -> None:
    those = [
        dissection(
            case=Case(batch=at if axis == "batch" else 1),
            shape={"hidden_size": at if axis == "hidden_size" else 8, "heads": at if axis == "heads" else 2},
            flops=at * 1000,
            attention=1.0 + at,
        )
        for at in (2, 4, 8)
    ]
    found = line(lines(those), "attention")
    assert found.series.axis == axis
    assert found.series.values == (2, 4, 8)
    assert found.per_flop_joules == pytest.approx(1e-3)


def test_of_a_size_that_was_measured_twice_the_later_counts() -> None:
    early = dissection(case=Case(sequence=64), attention=99.0, flops=64 * 20_000, began=0.0)
    assert line(lines([early, *sweep()]), "attention").per_flop_joules == pytest.approx(1e-6)


def test_large_flops_do_not_spoil_the_arithmetic() -> None:
    those = [dissection(case=Case(sequence=at), attention=1e-3 + at * 1e-3, flops=at * 10**13) for at in (1, 2, 3, 4)]
    found = fitted(next(one for one in series(those) if one.component == "attention"))
    assert found.at_rest_joules == pytest.approx(1e-3)
    assert found.per_flop_joules == pytest.approx(1e-16)
