"""What must be known before figures of any source are believed. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporter.domain.readings import Method
from exporter.report.account import DeviceBook, Usage

_OFF_BY = 1e-6
_MUCH = 0.05
_MOST_NAMED = 3
_SAID: Mapping[Method, str] = {
    "estimated": "ESTIMATED by a model of the device, not metered",
    "simulated": "SIMULATED: nothing real drew it",
    "recorded": "RECORDED at another time and place, not measured: the requests beside it did not draw it",
}


def cautions_on(books: Sequence[DeviceBook], usages: Sequence[Usage]) -> Iterator[str]:
    """Of what is in every account."""
    yield from _methods(books, usages)
    yield from _unknown(usages)
    yield from _unbooked(books)


def named(things: Iterable[str]) -> str:
    """The first few of them, and how many there are beyond."""
    every = sorted(things)
    beyond = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
    return ", ".join(every[:_MOST_NAMED]) + beyond


def _methods(books: Sequence[DeviceBook], usages: Sequence[Usage]) -> Iterator[str]:
    for method, words in _SAID.items():
        devices = {_at(book.device.name, book.place) for book in books if book.device.method == method}
        if devices:
            yield f"The energy of {named(devices)} is {words}."
    predicted = {one.model for one in usages if one.method == "time_proxy"}
    if predicted:
        yield f"The energy of {named(predicted)} is ESTIMATED from time by a calibration, and in no device's books."


def _unknown(usages: Sequence[Usage]) -> Iterator[str]:
    settled = sum(sum(one.requests.values()) for one in usages)
    known = sum(sum(one.energy.counts) for one in usages if one.energy is not None)
    if settled > known:
        yield f"Of {settled} settled requests {settled - known} have no known energy: they are in no figure in joules."


def _unbooked(books: Sequence[DeviceBook]) -> Iterator[str]:
    metered = sum(book.metered_joules for book in books)
    parts = {
        "unattributed: some request caused it, and nobody knows which": sum(
            book.booked.get("unattributed", 0.0) for book in books
        ),
        "unsettled: it may still be booked to requests": sum(book.unsettled_joules for book in books),
    }
    for what, joules in parts.items():
        if joules > _MUCH * metered > 0.0:
            yield f"{joules / metered:.0%} of the metered energy is {what}."
    off = {_at(book.device.name, book.place) for book in books if book.off_by > _OFF_BY}
    if off:
        yield f"The books of {named(off)} do not add up over this period."


def _at(device: str, place: str) -> str:
    return f"{device} at {place}" if place else device
