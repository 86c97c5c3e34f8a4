"""Dissections as JSON text and back: nothing is guessed, every refusal names the place."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args

from exporter.domain.dissection import (
    Capture,
    Case,
    ComponentEnergy,
    ComponentName,
    Dissection,
    ForwardPhase,
    Trials,
    Whole,
)
from exporter.domain.errors import CalibrationError, ComponentsError
from exporter.domain.readings import Device, DeviceKind, Method
from exporter.proxy.calibration.document import Place, parse

KIND = "llm-energy-exporter components"
VERSION = 1
MOST_DISSECTIONS = 10_000
_MOST_COMPONENTS = 200
_MOST_TRIALS = 10_000

_FIELDS = (
    "model",
    "architecture",
    "weights",
    "parameters",
    "shape",
    "case",
    "device",
    "period_seconds",
    "idle_watts",
    "components",
    "captures",
    "began",
    "seconds",
    "software",
    "machine",
    "launch",
)
_DEVICE_FIELDS = (
    "name",
    "kind",
    "uuid",
    "model",
    "method",
    "has_counter",
    "counter_range_joules",
    "power_window_seconds",
    "limit_watts",
    "driver",
    "power_limit_watts",
)
_COMPONENT_FIELDS = (
    "component",
    "path",
    "part_of",
    "instances",
    "gross_joules",
    "net_joules",
    "seconds",
    "repetitions",
    "flops",
)

_Word = TypeVar("_Word", bound=str)


def to_json(dissections: Sequence[Dissection]) -> str:
    """The document, with a line for each dissection."""
    lines = ",\n".join(json.dumps(_plain(one), allow_nan=False) for one in dissections)
    return f'{{"kind": {json.dumps(KIND)}, "version": {VERSION}, "dissections": [\n{lines}\n]}}\n'


def from_json(text: str) -> tuple[Dissection, ...]:
    """What the document says.

    Raises:
        ComponentsError: it is none of ours, of another version, or says something that it must not: names the place.
    """
    try:
        return _read(parse(text, "result file of `components`"))
    except CalibrationError as error:
        raise ComponentsError(str(error)) from None


def _read(document: Place) -> tuple[Dissection, ...]:
    fields = document.entries()
    if "kind" not in fields or fields["kind"].value != KIND:
        raise document.refuse(f"is no result file of `components`: it has no kind {KIND!r}")
    if "version" in fields and fields["version"].count() != VERSION:
        raise fields["version"].refuse(
            f"is {fields['version'].value}, but this release reads {VERSION}: measure again, or use another release"
        )
    fields = document.fields(("kind", "version", "dissections"))
    return tuple(_dissection(place) for place in fields["dissections"].items(MOST_DISSECTIONS))


# --- writing ---------------------------------------------------------------------------------------------------------


def _plain(one: Dissection) -> dict[str, Any]:
    return {
        **{name: getattr(one, name) for name in _FIELDS},
        "shape": dict(one.shape),
        "case": {name: getattr(one.case, name) for name in Case.__slots__},
        "device": {name: getattr(one.device, name) for name in _DEVICE_FIELDS},
        "idle_watts": one.idle_watts.values,
        "components": [_plain_component(component) for component in one.components],
        "captures": [{name: getattr(capture, name) for name in Capture.__slots__} for capture in one.captures],
        "software": dict(one.software),
    }


def _plain_component(one: ComponentEnergy) -> dict[str, Any]:
    trials = {name: getattr(one, name).values for name in ("gross_joules", "net_joules", "seconds")}
    return {**{name: getattr(one, name) for name in _COMPONENT_FIELDS}, **trials}


# --- reading ---------------------------------------------------------------------------------------------------------


def _dissection(place: Place) -> Dissection:
    at = place.fields(_FIELDS)
    return Dissection(
        model=at["model"].name(),
        architecture=at["architecture"].name(),
        weights=at["weights"].text(),
        parameters=at["parameters"].count(),
        shape={name: value.count() for name, value in at["shape"].entries().items()},
        case=_case(at["case"]),
        device=_device(at["device"]),
        period_seconds=_number_or_none(at["period_seconds"]),
        idle_watts=_trials(at["idle_watts"]),
        components=tuple(_component(one) for one in at["components"].items(_MOST_COMPONENTS)),
        captures=tuple(_capture(one) for one in at["captures"].items(_MOST_COMPONENTS)),
        began=at["began"].number(),
        seconds=at["seconds"].number(),
        software={name: value.text() for name, value in at["software"].entries().items()},
        machine=at["machine"].text(),
        launch=at["launch"].text(),
    )


def _case(place: Place) -> Case:
    at = place.fields(Case.__slots__)
    phase: ForwardPhase = _one_of(at["phase"], get_args(ForwardPhase))
    return Case(phase, at["batch"].count(1), at["sequence"].count(1), at["dtype"].name(), at["attention"].text())


def _device(place: Place) -> Device:
    at = place.fields(_DEVICE_FIELDS)
    kind: DeviceKind = _one_of(at["kind"], get_args(DeviceKind))
    method: Method = _one_of(at["method"], get_args(Method))
    return Device(
        name=at["name"].name(),
        kind=kind,
        uuid=at["uuid"].text(),
        model=at["model"].text(),
        method=method,
        has_counter=_truth(at["has_counter"]),
        counter_range_joules=_number_or_none(at["counter_range_joules"]),
        power_window_seconds=at["power_window_seconds"].number(0.0),
        limit_watts=_number_or_none(at["limit_watts"]),
        driver=at["driver"].text(),
        power_limit_watts=_number_or_none(at["power_limit_watts"]),
    )


def _component(place: Place) -> ComponentEnergy:
    at = place.fields(_COMPONENT_FIELDS)
    name: ComponentName = _one_of(at["component"], get_args(ComponentName))
    return ComponentEnergy(
        component=name,
        path=at["path"].text(),
        part_of=None if at["part_of"].value is None else _whole(at["part_of"]),
        instances=at["instances"].count(1),
        gross_joules=_trials(at["gross_joules"]),
        net_joules=_trials(at["net_joules"]),
        seconds=_trials(at["seconds"]),
        repetitions=tuple(one.count() for one in at["repetitions"].items(_MOST_TRIALS)),
        flops=None if at["flops"].value is None else at["flops"].count(),
    )


def _capture(place: Place) -> Capture:
    at = place.fields(Capture.__slots__)
    names: tuple[ComponentName, ...] = get_args(ComponentName)
    return Capture(
        whole=_whole(at["whole"]),
        parts=tuple(_one_of(part, names) for part in at["parts"].items(_MOST_COMPONENTS)),
        gross_ratio=at["gross_ratio"].number(),
        net_ratio=_number_or_none(at["net_ratio"]),
        path=at["path"].text(),
    )


def _whole(place: Place) -> Whole:
    wholes: tuple[Literal["model", "block"], ...] = get_args(Whole)
    return _one_of(place, wholes)


def _trials(place: Place) -> Trials:
    values = tuple(one.number() for one in place.items(_MOST_TRIALS))
    if not values:
        raise place.wanted("a list of at least one number")
    return Trials(values)


def _number_or_none(place: Place) -> float | None:
    return None if place.value is None else place.number()


def _truth(place: Place) -> bool:
    if not isinstance(place.value, bool):
        raise place.wanted("true or false")
    return place.value


def _one_of(place: Place, words: Iterable[_Word]) -> _Word:
    known: Mapping[str, _Word] = {word: word for word in words}
    found = known.get(place.text())
    if found is None:
        raise place.wanted(f"one of {', '.join(known)}")
    return found
