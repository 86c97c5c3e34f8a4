"""How results are spoken of: shares, quantities with a prefix, and who said the joules."""

import math

from exporter.domain.dissection import Case, ComponentEnergy, Dissection
from exporter.domain.readings import Device

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}
_NOT_MEASURED = {
    "estimated": "ESTIMATED by a model of the device, not measured",
    "simulated": "SIMULATED, no hardware",
    "recorded": "RECORDED at another time and place, not measured",
}
NOTHING = "-"


def whole_of(one: Dissection, part: ComponentEnergy) -> ComponentEnergy | None:
    """What a component is part of: the model, or the block that its module lies in."""
    wholes = [each for each in one.components if each.component == part.part_of]
    around = [each for each in wholes if part.path.startswith(f"{each.path}.")]
    return next(iter(around or wholes), None)


def share_of_whole(one: Dissection, part: ComponentEnergy) -> float | None:
    """Of the gross energy of what it is part of, all its instances together; None for the model."""
    whole = whole_of(one, part)
    if whole is None or whole.gross_joules.mean <= 0.0:
        return None
    return part.gross_joules.mean * part.instances / whole.gross_joules.mean


def quantity(value: float | None, unit: str) -> str:
    """`1.23 mJ`: three digits, and a prefix that leaves one to three of them before the point."""
    if value is None or not math.isfinite(value):
        return NOTHING
    rounded = float(f"{value:.3g}")
    exponent = 0 if rounded == 0.0 else math.floor(math.log10(abs(rounded)) + 1e-9)
    power = min(max(exponent // 3 * 3, min(_PREFIXES)), max(_PREFIXES))
    after_the_point = min(max(2 - (exponent - power), 0), 2)
    return f"{rounded / 10.0**power:.{after_the_point}f} {_PREFIXES[power]}{unit}".rstrip()


def percent(value: float | None) -> str:
    """`12.3 %`."""
    return NOTHING if value is None else f"{value * 100.0:.1f} %"


def case_words(case: Case) -> str:
    """`prefill, batch 1, sequence 128, float32, sdpa`."""
    tokens = "sequence" if case.phase == "prefill" else "cache"
    return f"{case.phase}, batch {case.batch}, {tokens} {case.sequence}, {case.dtype}, {case.attention}"


def device_words(device: Device) -> str:
    """`gpu0 (NVIDIA H200)`."""
    return f"{device.name} ({device.model})" if device.model else device.name


def how(device: Device) -> str:
    """How its energy came to be known, loudly where it was not measured."""
    return _NOT_MEASURED.get(device.method, "measured")


def parameters_words(parameters: int) -> str:
    """`1.24 billion parameters`."""
    rounded = float(f"{parameters:.3g}")
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if rounded >= size:
            return f"{rounded / size:.3g} {word} parameters"
    return f"{parameters} parameters"
