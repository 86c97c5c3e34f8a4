"""What result files say, sample by sample, and how much of it one page has room for.

A component is told apart by its model, its case, the device and its module; of two results alike in all of that, the
later one is shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporter.domain.dissection import Capture, ComponentEnergy, Dissection
from exporter.domain.health import DissectionsView
from exporter.metrics.catalogue import components
from exporter.metrics.catalogue.family import Family

MOST_COMPONENTS = 400
"""So many rows, of some ten series each."""

_Sample = tuple[Family, tuple[str, ...], float | None]


def that_fit(dissections: Iterable[Dissection], most: int = MOST_COMPONENTS) -> tuple[tuple[Dissection, ...], int]:
    """The latest results of each case, and of these the latest for which there is room; and how many had none."""
    latest: dict[tuple[str, ...], Dissection] = {}
    for one in sorted(dissections, key=lambda one: one.began):
        latest[case_labels(one)] = one
    shown: list[Dissection] = []
    room = most
    for one in sorted(latest.values(), key=lambda one: -one.began):
        room -= len(one.components)
        if room < 0:
            break
        shown.append(one)
    return tuple(sorted(shown, key=case_labels)), len(latest) - len(shown)


def case_labels(one: Dissection) -> tuple[str, ...]:
    """Values of the labels that tell cases apart, in the catalogue's order. What a shape does not say is empty."""
    case, shape = one.case, one.shape
    return (
        one.model,
        case.phase,
        str(case.batch),
        str(case.sequence),
        case.dtype,
        str(shape.get("hidden_size", "")),
        str(shape.get("heads", "")),
        one.device.model or one.device.name,
        one.device.method,
    )


def samples(view: DissectionsView) -> Iterator[_Sample]:
    """Everything that is known of these results."""
    yield components.COMPONENT_FILES, (), view.files
    yield components.COMPONENT_PROBLEMS, (), len(view.problems)
    yield components.COMPONENT_LEFT_OUT, (), view.left_out
    for one in view.dissections:
        yield from _dissection(one)


def _dissection(one: Dissection) -> Iterator[_Sample]:
    labels = case_labels(one)
    yield components.COMPONENT_MEASURED, labels, one.began
    for key, component in _by_module(one.components).items():
        yield from _component((*labels, *key), component)
    for key, capture in {(capture.whole, capture.path): capture for capture in one.captures}.items():
        yield from _capture((*labels, *key), capture)


def _by_module(those: Sequence[ComponentEnergy]) -> Mapping[tuple[str, str], ComponentEnergy]:
    return {(one.component, one.path): one for one in those}


def _component(labels: tuple[str, ...], one: ComponentEnergy) -> Iterator[_Sample]:
    for way, trials in (("gross", one.gross_joules), ("net", one.net_joules)):
        yield components.COMPONENT_ENERGY, (*labels, f"{way}_mean"), trials.mean
        yield components.COMPONENT_ENERGY, (*labels, f"{way}_stddev"), _spread(trials.values, trials.stddev)
        yield components.COMPONENT_CV, (*labels, way), _spread(trials.values, trials.cv)
    yield components.COMPONENT_ENERGY_PER_FLOP, (*labels, "gross_mean"), one.gross_joules_per_flop
    yield components.COMPONENT_ENERGY_PER_FLOP, (*labels, "net_mean"), one.net_joules_per_flop
    yield components.COMPONENT_FLOPS, labels, one.flops


def _spread(values: Sequence[float], known: float | None) -> float | None:
    """A single trial has no spread that anybody knows."""
    return known if len(values) > 1 else None


def _capture(labels: tuple[str, ...], one: Capture) -> Iterator[_Sample]:
    yield components.COMPONENT_CAPTURE, (*labels, "gross"), one.gross_ratio
    yield components.COMPONENT_CAPTURE, (*labels, "net"), one.net_ratio
