"""The energy of a window, as the exporter tells it once it has settled."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.client.link import REQUESTS, UNREACHABLE, Answer, Link, receipt_path

if TYPE_CHECKING:
    from exporter.client.client import EnergyClient
    from exporter.client.pieces import Piece
    from exporter.client.windows import Window

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 1.0
AWAY_SECONDS = 3.0
"""So long an exporter is waited for that does not answer at all: it may be restarting."""
GIVEN_UP_SECONDS, AGAIN_SECONDS = 1.0, 0.3
"""Once that was in vain: how long nobody else waits, and how long the next one does after that."""
_FEW = 4
"""More receipts than these are asked for at once."""
_WORST_FIRST = ("simulated", "recorded", "time_proxy", "estimated")
_NOT_FOUND, _OK = 404, 200
NOBODY = "windows are told to nobody: the exporter's URL is empty"
_OPEN = "it is still open"
_AWAY_STATUSES = frozenset({UNREACHABLE, 408, 429, 500, 502, 503, 504})


class Energy(NamedTuple):
    """What a window used.

    Attributes:
        joules: all of it, inner windows included.
        own_joules: outside of its inner windows. Those of all windows add up to what was metered while any was open.
        method: `measured`, `estimated` by a model of the device, `simulated`, `recorded` at another time and place, or
            `time_proxy` by a calibration; where parts differ, the worst.
        joules_by_device: the same by device. Empty where no device was metered.
        seconds: for which it was open.
        concurrency: how many requests and windows there were at a time, itself included, on average.
        late_joules: what it was due beyond that, but came too late for.
        interval: of an estimate: (low, high), where nine of ten true values are to lie; None where not known.
    """

    joules: float
    own_joules: float
    method: str
    joules_by_device: Mapping[str, float]
    seconds: float
    concurrency: float
    late_joules: float
    interval: tuple[float, float] | None


class _Unknown(NamedTuple):
    """Why there is no energy. `final`: asking again is of no use. `away`: nobody answered."""

    why: str
    final: bool
    away: bool = False


def asking(window: "Window", timeout: float) -> Iterator[float]:
    """Ask for the energy of all pieces of a window; yields how long to wait before asking on.

    `window.unknown` says afterwards why its energy is not known, and is empty where it is.
    """
    client = window.client
    deadline = time.monotonic() + timeout
    window.unknown = ""
    pieces = _pieces(window)
    if isinstance(pieces, _Unknown):
        window.unknown = pieces.why
        return
    link, pause = client.link(), FIRST_PAUSE_SECONDS
    if link is None:
        window.unknown = NOBODY
        return
    lost = _lost(pieces)
    if lost is not None or not _reach(client, timeout):
        window.unknown = lost.why if lost is not None else f"the exporter does not answer: {client.problem}"
        return
    try:
        while (trouble := _ask(pieces, link)) is not None:
            if trouble.away:
                deadline = min(deadline, time.monotonic() + AWAY_SECONDS)
            if trouble.final or time.monotonic() + pause > deadline:
                window.unknown = trouble.why
                return
            yield pause
            pause = min(1.5 * pause, LONGEST_PAUSE_SECONDS)
    finally:
        link.close()


def _reach(client: "EnergyClient", timeout: float) -> bool:
    """Have told what is to be told. Who asks for a thousand windows waits once for an exporter that is away."""
    now = time.monotonic()
    if now < client.given_up_until:
        return False
    given_up = client.given_up_until > 0.0
    if client.flush(min(timeout, AGAIN_SECONDS if given_up else AWAY_SECONDS)) or not client.problem:
        client.given_up_until = 0.0
        return True
    client.given_up_until = time.monotonic() + GIVEN_UP_SECONDS
    return False


def summed(window: "Window") -> Energy:
    """The sum of pieces that are all known."""
    pieces = _pieces(window)
    assert not isinstance(pieces, _Unknown)
    known = [piece.energy for piece in pieces if piece.energy is not None]
    own = sum(piece.energy.joules for piece in window.pieces if piece.energy is not None)
    seconds = sum(one.seconds for one in known)
    return Energy(
        joules=sum(one.joules for one in known),
        own_joules=own,
        method=_worst({one.method for one in known}),
        joules_by_device=_added([one.joules_by_device for one in known]),
        seconds=seconds,
        concurrency=sum(one.concurrency * one.seconds for one in known) / seconds if seconds else known[0].concurrency,
        late_joules=sum(one.late_joules for one in known),
        interval=known[0].interval if len(known) == 1 else None,
    )


def _pieces(window: "Window") -> "list[Piece] | _Unknown":
    """Its pieces and those of the windows inside it."""
    found: list[Piece] = []
    windows = [window]
    while windows:
        one = windows.pop()
        if one.outcome is None:
            return _Unknown(_OPEN if one is window else f"{one.name!r} inside it is still open", final=True)
        if not one.is_all_remembered:
            return _Unknown(f"{one.name!r} had too many windows inside it to add them up", final=True)
        found.extend(one.pieces)
        windows.extend(one.inner)
    return found or _Unknown("it is told by the process that opened it", final=True)


def _ask(pieces: "Sequence[Piece]", link: Link) -> _Unknown | None:
    """Ask for what is missing; returns why something still is, or None."""
    lost = _lost(pieces)
    if lost is not None:
        return lost
    missing = [piece for piece in pieces if piece.energy is None]
    if len(missing) > _FEW:
        trouble = _ask_for_all(missing, link)
        missing = [piece for piece in missing if piece.energy is None]
        if trouble is not None or len(missing) > _FEW:
            return trouble or _not_yet(missing[0])
    for piece in missing:
        trouble = _take(piece, link.get(receipt_path(piece.id)))
        if trouble is not None:
            return trouble
    return None


def _lost(pieces: "Sequence[Piece]") -> _Unknown | None:
    lost = next((piece for piece in pieces if piece.lost), None)
    return _Unknown(f"{lost.id} was not told: {lost.lost}", final=True) if lost is not None else None


def _ask_for_all(missing: "Sequence[Piece]", link: Link) -> _Unknown | None:
    answer = link.get(REQUESTS)
    if answer.status != _OK:
        return _trouble(answer)
    listed = _json(answer).get("requests", [])
    receipts = {str(one.get("id")): one for one in listed if isinstance(one, dict)}
    for piece in missing:
        if piece.id in receipts:
            trouble = _read(piece, receipts[piece.id])
            if trouble is not None:
                return trouble
    return None


def _take(piece: "Piece", answer: Answer) -> _Unknown | None:
    if answer.status == _OK:
        return _read(piece, _json(answer))
    if answer.status == _NOT_FOUND and answer.content_type == "application/json":
        return _not_yet(piece)
    return _trouble(answer)


def _read(piece: "Piece", receipt: Mapping[str, Any]) -> _Unknown | None:
    try:
        if receipt["energy_joules"] is None:
            return _Unknown("nothing meters this server and it has no calibration", final=True)
        interval = receipt["interval"]
        piece.energy = Energy(
            joules=float(receipt["energy_joules"]),
            own_joules=float(receipt["energy_joules"]),
            method=str(receipt["method"]),
            joules_by_device={str(name): float(one) for name, one in receipt["energy_joules_by_device"].items()},
            seconds=float(receipt["duration_seconds"]),
            concurrency=float(receipt["concurrency"]),
            late_joules=float(receipt["late_joules"]),
            interval=None if interval is None else (float(interval["low_joules"]), float(interval["high_joules"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return _Unknown("what was answered is no receipt: is there another program at this address?", final=True)
    return None


def _not_yet(piece: "Piece") -> _Unknown:
    why = "is not among the requests that settled last: it has not settled yet, or hundreds of others have since"
    return _Unknown(f"{piece.id} {why}", final=False)


def _trouble(answer: Answer) -> _Unknown:
    if answer.status == UNREACHABLE:
        return _Unknown(f"the exporter does not answer: {answer.words}", final=False, away=True)
    return _Unknown(f"the exporter {answer.words}", final=answer.status not in _AWAY_STATUSES)


def _json(answer: Answer) -> Mapping[str, Any]:
    import json  # noqa: PLC0415 - the program's own start need not wait for it

    try:
        value = json.loads(answer.text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _worst(methods: set[str]) -> str:
    return next((one for one in _WORST_FIRST if one in methods), min(methods))


def _added(each: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    names = dict.fromkeys(name for one in each for name in one)
    return {name: sum(one.get(name, 0.0) for one in each) for name in names}
