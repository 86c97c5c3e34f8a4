"""A row a component and case, as CSV has it: numbers to their last digit; what is not known is empty."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from exporter.components.words import share_of_whole
from exporter.domain.dissection import ComponentEnergy, Dissection

COLUMNS = (
    "model",
    "architecture",
    "weights",
    "parameters",
    "phase",
    "batch",
    "sequence",
    "dtype",
    "attention",
    "hidden_size",
    "heads",
    "layers",
    "launch",
    "device",
    "device_name",
    "method",
    "sensor_period_seconds",
    "idle_watts",
    "began",
    "component",
    "module",
    "part_of",
    "instances",
    "trials",
    "gross_joules",
    "gross_stddev_joules",
    "net_joules",
    "net_stddev_joules",
    "gross_cv",
    "seconds",
    "repetitions",
    "share_of_whole",
    "flops",
    "gross_joules_per_flop",
    "net_joules_per_flop",
    "capture_gross_ratio",
    "capture_net_ratio",
    "capture_parts",
)


def csv_text(dissections: Iterable[Dissection]) -> str:
    """All of it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one in dissections:
        writer.writerows(rows(one))
    return text.getvalue()


def rows(one: Dissection) -> Iterator[Mapping[str, Any]]:
    """A row for each component."""
    case = _case(one)
    for component in one.components:
        yield {**case, **_component(one, component), **_capture(one, component)}


def _case(one: Dissection) -> Mapping[str, Any]:
    case, device = one.case, one.device
    return {
        "model": one.model,
        "architecture": one.architecture,
        "weights": one.weights,
        "parameters": one.parameters,
        "phase": case.phase,
        "batch": case.batch,
        "sequence": case.sequence,
        "dtype": case.dtype,
        "attention": case.attention,
        "hidden_size": one.shape.get("hidden_size"),
        "heads": one.shape.get("heads"),
        "layers": one.shape.get("layers"),
        "launch": one.launch,
        "device": device.name,
        "device_name": device.model,
        "method": device.method,
        "sensor_period_seconds": one.period_seconds,
        "idle_watts": one.idle_watts.mean,
        "began": one.began,
    }


def _component(one: Dissection, part: ComponentEnergy) -> Mapping[str, Any]:
    several = len(part.gross_joules.values) > 1
    return {
        "component": part.component,
        "module": part.path,
        "part_of": part.part_of,
        "instances": part.instances,
        "trials": len(part.gross_joules.values),
        "gross_joules": part.gross_joules.mean,
        "gross_stddev_joules": part.gross_joules.stddev if several else None,
        "net_joules": part.net_joules.mean,
        "net_stddev_joules": part.net_joules.stddev if several else None,
        "gross_cv": part.gross_joules.cv if several else None,
        "seconds": part.seconds.mean,
        "repetitions": sum(part.repetitions),
        "share_of_whole": share_of_whole(one, part),
        "flops": part.flops,
        "gross_joules_per_flop": part.gross_joules_per_flop,
        "net_joules_per_flop": part.net_joules_per_flop,
    }


def _capture(one: Dissection, part: ComponentEnergy) -> Mapping[str, Any]:
    for capture in one.captures:
        if (capture.whole, capture.path) == (part.component, part.path):
            return {
                "capture_gross_ratio": capture.gross_ratio,
                "capture_net_ratio": capture.net_ratio,
                "capture_parts": " ".join(capture.parts),
            }
    return {}
