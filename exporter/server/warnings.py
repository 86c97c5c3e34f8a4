"""What a reader of the page must not overlook: first of all, which of its joules nobody measured."""

from collections.abc import Iterable, Iterator

from exporter.domain.health import Published
from exporter.domain.readings import Method
from exporter.domain.snapshot import HistogramValue, Snapshot
from exporter.server.pieces import warning
from exporter.server.quantities import count


def warnings(published: Published) -> Iterator[str]:
    """All of them, the gravest first."""
    yield from _recorded(published.health.recording)
    yield from _played(published.snapshot)
    yield from _simulated(published.snapshot)
    yield from _estimated(published.snapshot)
    yield from _predicted(published.snapshot)
    yield from _health(published)


def is_simulated(snapshot: Snapshot) -> bool:
    """Whether any number on the page comes from a simulation."""
    return bool(_devices(snapshot, "simulated") or _servers(snapshot, "simulated"))


def _recorded(recording: str) -> Iterator[str]:
    if recording:
        yield warning("A recording.", f"Nothing here is live: {recording}.")


def is_played(snapshot: Snapshot) -> bool:
    """Whether the power of any device is played from a recording."""
    return bool(_devices(snapshot, "recorded"))


def _played(snapshot: Snapshot) -> Iterator[str]:
    told: dict[str, list[str]] = {}
    for view in snapshot.devices:
        if view.device.method == "recorded":
            told.setdefault(view.device.origin, []).append(view.device.name)
    for origin, names in told.items():
        loud = "RECORDED power." if len(names) == len(snapshot.devices) else "PARTLY RECORDED power."
        played = f"{', '.join(names)} is played from a recording ({origin})."
        yield warning(loud, f"{played} It is not measured here and now, and what runs here did not draw it.")


def _simulated(snapshot: Snapshot) -> Iterator[str]:
    if not is_simulated(snapshot):
        return
    devices = _devices(snapshot, "simulated")
    if not devices or len(devices) == len(snapshot.devices):
        yield warning("SIMULATED.", "Nothing real used this energy: power and requests here are made up by a model.")
    else:
        yield warning("PARTLY SIMULATED.", f"{', '.join(devices)}: nothing real used that energy.")


def _estimated(snapshot: Snapshot) -> Iterator[str]:
    devices = _devices(snapshot, "estimated")
    if devices and len(devices) == len(snapshot.devices):
        yield warning(
            "Estimated, not measured.", "Every joule here comes from a model of the device, not from a sensor."
        )
    elif devices:
        yield warning("Partly estimated.", f"{', '.join(devices)}: a model of the device, not a sensor.")


def _predicted(snapshot: Snapshot) -> Iterator[str]:
    servers = _servers(snapshot, "time_proxy")
    if servers:
        yield warning(
            "Time proxy, not measured.",
            f"{', '.join(servers)}: no meter sees the device, so a calibration predicts joules from time.",
        )


def _health(published: Published) -> Iterator[str]:
    if not published.health.sources and not published.health.recording:
        yield warning("No power source.", "Nothing is metered.")
    for source in published.health.sources:
        if not source.up:
            yield warning(f"{source.name} is silent.", "Its last round of readings got no answer from any device.")
    if published.health.faults:
        faults = ", ".join(f"{count(number)} in {stage}" for stage, number in sorted(published.health.faults.items()))
        yield warning("Faults in the exporter.", f"{faults}. Each is a bug: its log says more.")


def _devices(snapshot: Snapshot, method: Method) -> list[str]:
    return [view.device.name for view in snapshot.devices if view.device.method == method]


def _servers(snapshot: Snapshot, method: Method) -> list[str]:
    """Servers of which some request's energy came to be known so, in the books or among the recent."""
    booked = (view.server for view in snapshot.models if _any(view.energy.get(method)))
    return _once([*booked, *(request.server for request in snapshot.recent if request.method == method)])


def _any(histogram: HistogramValue | None) -> bool:
    return histogram is not None and any(histogram.counts)


def _once(names: Iterable[str]) -> list[str]:
    return sorted(set(names))
