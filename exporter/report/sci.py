"""SCI for AI: a rate of carbon per token, by what is metered here. Pure.

Software Carbon Intensity (Green Software Foundation, version 1.1; ISO/IEC 21031:2024) is (E x I + M) per R: energy of
all hardware that is reserved, idle or not, times the grid's location-based intensity, plus a share of making the
hardware, per functional unit. SCI for AI, of the same foundation, sets for whoever uses a language model the boundary
at all that runs to serve it, and R at the token.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum

from exporter.report.account import Account
from exporter.report.render.quantities import mass
from exporter.report.summary import Sci
from exporter.report.totals import methods, tokens

_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Boundary:
    """What of the score is not metered.

    Attributes:
        grams_per_kwh: of CO2 equivalent, of the grid where it ran, without certificates.
        pue: the building's energy for each joule of the machine; 1 leaves the building out.
        host_factor: the machine's for each joule that is metered; 1 leaves the rest of it out.
        embodied_grams: the period's share of making the hardware; 0 leaves it out.
    """

    grams_per_kwh: float
    pue: float = 1.0
    host_factor: float = 1.0
    embodied_grams: float = 0.0


def sci(account: Account, boundary: Boundary) -> Sci | None:
    """The score of all that was metered, idle included; None where nothing was, or no output token is known."""
    output, read = tokens(account.usages, "output"), tokens(account.usages, "input")
    if not output or not account.books:
        return None
    joules = fsum(book.metered_joules for book in account.books) * boundary.pue * boundary.host_factor
    grams = joules / _JOULES_PER_KWH * boundary.grams_per_kwh + boundary.embodied_grams
    processed = f"{mass(grams / (output + read))} for each token processed, prompts included, as the standard counts"
    return Sci(
        grams_per_token=grams / output,
        joules_per_token=joules / output,
        embodied_grams=boundary.embodied_grams,
        notes=(f"R: an output token. It is {processed}.", *_within(account, boundary), _without(boundary)),
    )


def _within(account: Account, boundary: Boundary) -> Iterator[str]:
    kinds = sorted({book.device.kind for book in account.books})
    factors = {"PUE": boundary.pue, "host": boundary.host_factor}
    times = "".join(f", x {factor:g} ({what})" for what, factor in factors.items() if factor != 1.0)
    yield f"E: all energy of {' and '.join(kinds)} in the period, idle included{times}."
    if set(methods(account)) != {"measured"}:
        yield f"E is not all measured: {', '.join(methods(account))}."
    yield f"I: {boundary.grams_per_kwh:g} g/kWh; by the standard location-based: certificates do not count."
    if boundary.embodied_grams > 0.0:
        yield f"M: {mass(boundary.embodied_grams)} for this period, as given."
    else:
        yield "M, making the hardware, is left out: the score by the standard has it, and is higher."


def _without(boundary: Boundary) -> str:
    parts = {"the building, ": boundary.pue, "the rest of the machine, ": boundary.host_factor}
    left_out = "".join(what for what, factor in parts.items() if factor == 1.0)
    return (
        f"Out: {left_out}networks, storage, machines that are not metered here, and training, "
        "which the standard counts for the model's provider by a unit of its own."
    )
