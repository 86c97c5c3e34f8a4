"""Quantities with their unit, and addresses: how they are read and written."""

import re
from decimal import Decimal
from typing import Any

from exporter.config.kinds import Scalar, UnfitError, bounded, finite
from exporter.domain.durations import DURATION_UNITS, written_duration
from exporter.domain.settings import ListenAddress

_WATTS = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>k?W|)")


def watts() -> Scalar:
    """`60`, `60W` or `0.06 kW`."""

    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise UnfitError
        return bounded(_parsed_watts(value) if isinstance(value, str) else float(value), 0.0, 1e6)

    return Scalar("watts", "watts, such as 60 or 60W", finite(convert), _written_watts)


def _parsed_watts(value: str) -> float:
    match = _WATTS.fullmatch(value)
    if not match:
        raise UnfitError
    return float(match["number"]) * (1000.0 if match["unit"] == "kW" else 1.0)


def _written_watts(value: float | None) -> str:
    return "by the machine" if value is None else f"{value:g}W"


_JOULES = {"J": 1.0, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9, "Wh": 3.6e3, "kWh": 3.6e6, "MWh": 3.6e9}
_ENERGY = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,12})?) ?(?P<unit>[kMG]?J|[kM]?Wh)")


def energy() -> Scalar:
    """`400 J` or `50 kWh`, in joules. A number alone is refused: nobody knows its unit in a year."""

    def convert(value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise UnfitError("; give it a unit")
        match = _ENERGY.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise UnfitError
        return bounded(float(match["number"]) * _JOULES[match["unit"]], 1e-6, 1e18)

    return Scalar("energy", "energy with its unit, such as 400 J or 50 kWh", convert, lambda value: f"{value:g} J")


_DURATION = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,12})?)(?P<unit>ms|s|m|h|d)")


def duration(least: str, most: str, *, grain: str = "") -> Scalar:
    """A number with its unit, between two others, a multiple of `grain`.

    A number alone is refused: nobody knows its unit in a year.
    """
    lower, upper = seconds(least), seconds(most)
    multiple = f" and a multiple of {grain}" if grain else ""

    def convert(value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise UnfitError("; give it a unit")
        length = bounded(seconds(value), lower, upper)
        if grain and Decimal(repr(length)) % Decimal(repr(seconds(grain))):
            raise UnfitError
        return length

    allowed = f"a duration from {least} to {most}{multiple}, such as {'30s, 1m' if grain else '50ms, 2s, 15m'}"
    return Scalar("duration", allowed, convert, written_duration)


def window(word: str, least: str, most: str) -> Scalar:
    """A duration, or a word that stands for None."""
    length = duration(least, most)

    def convert(value: Any) -> float | None:
        return None if value == word else length.convert(value)

    return Scalar(
        f"duration, or `{word}`",
        f"`{word}`, or {length.allowed}",
        convert,
        lambda value: word if value is None else written_duration(value),
    )


def seconds(value: Any) -> float:
    """`50ms` in seconds.

    Raises:
        UnfitError: it is no duration.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise UnfitError
    return float(Decimal(match["number"]) * DURATION_UNITS[match["unit"]])


_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]\s]*)):(?P<port>[0-9]{1,5})")


def address() -> Scalar:
    """`HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for every interface."""
    return Scalar("host:port", "HOST:PORT, such as 0.0.0.0:9460 or [::]:9460", _address, written_address)


def _address(value: Any) -> ListenAddress:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if not match or int(match["port"]) > 65535:
        raise UnfitError
    host = match["v6"] or match["host"] or ListenAddress().host
    return ListenAddress(host, int(match["port"]))


def written_address(value: ListenAddress) -> str:
    """As it is written in a URL."""
    return f"[{value.host}]:{value.port}" if ":" in value.host else f"{value.host}:{value.port}"
