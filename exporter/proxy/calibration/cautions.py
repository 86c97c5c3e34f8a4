"""What to think twice about before a calibration is used. Pure: a calibration and the present in, sentences out."""

from collections.abc import Iterator
from datetime import datetime

from exporter.proxy.calibration.calibration import Calibration

_OLD_DAYS = 180
_FEW_ALONE = 30
_FEW_WINDOWS = 30
_BAD_ERROR = 0.25
_SOURCES = {
    "estimated": "it was learned from an ESTIMATE of power, not from a sensor: what comes of it is an estimate of that",
    "simulated": "it was learned from a SIMULATION: it says nothing about any real hardware",
    "recorded": "it was learned from RECORDED power beside requests that did not draw it: it says nothing of them",
    "time_proxy": "it was learned from the estimates of another calibration, and only repeats that one",
}


def cautions(calibration: Calibration, now: datetime) -> Iterator[str]:
    """Each a clause that can follow `but`."""
    if calibration.method in _SOURCES:
        yield _SOURCES[calibration.method]
    yield from _of_its_age(calibration, now)
    yield from _of_its_samples(calibration)
    unknown = [name for name in ("engine", "dtype", "driver") if not getattr(calibration.key, name)]
    if not calibration.key.gpu:
        unknown.insert(0, "hardware")
    if unknown:
        yield f"it does not say of which {', '.join(unknown)} it is, so nobody can tell whether that is the same"


def _of_its_age(calibration: Calibration, now: datetime) -> Iterator[str]:
    days = (now - datetime.fromisoformat(calibration.date)).days
    if days > _OLD_DAYS:
        yield f"it is {days} days old: engines and drivers have changed since"
    if days < 0:
        yield "its date is in the future: one of the two clocks is wrong"


def _of_its_samples(calibration: Calibration) -> Iterator[str]:
    proxies = [proxy for name, proxy in calibration.proxies.items() if name != "peak"]  # it never learned anything
    grounds = [proxy.grounds for proxy in proxies]
    alone = max((each["isolated"].samples for each in grounds if "isolated" in each), default=0)
    windows = max((each["window"].samples for each in grounds if "window" in each), default=0)
    if alone < _FEW_ALONE:
        yield f"of the {_FEW_ALONE} requests wanted only {alone} ran alone, so the meter hardly vouches for it"
    if windows < _FEW_WINDOWS:
        yield f"of the {_FEW_WINDOWS} windows of metered time wanted it was tested on only {windows}"
    metered = [one for each in grounds for name, one in each.items() if name != "request"]
    errors = [one.scores["mape"] for one in metered if "mape" in one.scores]
    if errors and min(errors) > _BAD_ERROR:
        yield f"its best proxy was off by {min(errors):.0%} even where it was made"
    if not any(proxy.shared for proxy in proxies):
        yield "it has seen no requests that overlapped: what it says of those is a guess with a wide interval"
