"""What a replay found, as text and as JSON. Pure: values in, lines out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from exporter import __version__
from exporter.domain.readings import Method
from exporter.domain.settings import PolicyName
from exporter.domain.snapshot import DeviceView, ModelView, Snapshot
from exporter.domain.units import Instant
from exporter.recording.entries import Header
from exporter.recording.values import known, to_json
from exporter.replay.comparison import Standing
from exporter.replay.table import side_by_side

_LABEL_WIDTH = 24


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """How one policy shared the energy.

    Attributes:
        joules: given to requests. moved_share: of that, given to other requests than the first policy would: half the
            sum of |difference|, because what one request gets more another gets less.
        in_force: requests that settled by its own prices; by equal time where it doubted itself. doubts: why it does
            now, by server.
    """

    policy: PolicyName
    recorded: bool
    requests: int
    joules: float
    moved_share: float
    in_force: int
    doubts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """All of it.

    Attributes:
        name: of the recording. cut: why it ends too early; empty where it does not. faults: bugs met.
        snapshot: the books under the first of the policies that were asked for. policy: that one.
    """

    name: str
    header: Header
    end: Instant
    cut: str
    faults: int
    policy: PolicyName
    policies: Sequence[PolicyResult]
    snapshot: Snapshot
    standings: Sequence[Standing]
    unmatched: int = 0

    @property
    def seconds(self) -> float:
        """From the beginning of the recording to its end."""
        return self.end - self.header.begin


def as_text(result: Result) -> str:
    """For a terminal: at most 110 columns, no colours."""
    sections = (
        _title(result),
        _books(result.snapshot.devices),
        _models(result.snapshot.models),
        _policies(result.policies),
        _standings(result),
        _warnings(result),
    )
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section))) + "\n"


def as_json(result: Result) -> dict[str, Any]:
    """For programs; what is not known is null."""
    return {
        "recording": {
            "name": result.name,
            "exporter": result.header.exporter,
            "begin": result.header.begin,
            "end": result.end,
            "complete": not result.cut,
            "machine": to_json(result.header.machine),
        },
        "faults": result.faults,
        "policy": result.policy,
        "policies": [to_json(one) for one in result.policies],
        "devices": [known(to_json(view)) for view in result.snapshot.devices],
        "models": [known(to_json(view)) for view in result.snapshot.models],
        "proxies": [known(to_json(view)) for view in result.snapshot.proxies],
        "scores": [known(to_json(one)) for one in result.standings],
    }


def imbalance(view: DeviceView) -> float:
    """How far a device's books are from adding up, relative to what was metered."""
    booked = sum(view.booked.values()) + view.unsettled_joules
    return abs(view.metered_joules - booked) / view.metered_joules if view.metered_joules > 0.0 else 0.0


def _title(result: Result) -> Iterator[str]:
    began = datetime.fromtimestamp(result.header.begin, UTC).isoformat(sep=" ", timespec="seconds")
    machine = result.header.machine
    yield f"{result.name}: {_length(result.seconds)} from {began}, books by policy {result.policy}"
    yield f"recorded by version {result.header.exporter} on {machine.processor or machine.system}"


def _books(devices: Sequence[DeviceView]) -> Iterator[str]:
    if not devices:
        yield "Nothing was metered."
        return
    head = f"{'joules':<{_LABEL_WIDTH}}{'metered':>12} = {'requests':>11} + {'idle':>11} + {'unattributed':>12}"
    yield f"{head} + {'unsettled':>11}   off by"
    yield from map(_book, devices)


def _book(view: DeviceView) -> str:
    name = f"  {view.device.name}{_labelled(view.device.method)}"
    booked = [view.booked.get(share, 0.0) for share in ("requests", "idle", "unattributed")]
    columns = f"{booked[0]:>11.2f} + {booked[1]:>11.2f} + {booked[2]:>12.2f} + {view.unsettled_joules:>11.2f}"
    return f"{name:<{_LABEL_WIDTH}}{view.metered_joules:>12.2f} = {columns}   {imbalance(view):.0e}"


def _labelled(method: Method) -> str:
    """Nothing for what was metered by a sensor; anything else is said loudly."""
    return "" if method == "measured" else f" {method.upper()}"


def _models(models: Sequence[ModelView]) -> Iterator[str]:
    if models:
        head = f"{'model on server':<{_LABEL_WIDTH + 16}}{'requests':>9}{'tokens in':>11}{'tokens out':>11}"
        yield f"{head}{'joules':>13}{'J/request':>11}{'J/token out':>13}"
    for view in models:
        name = f"  {view.model} on {view.server}"
        for method, energy in view.energy.items():
            yield _model(view, f"{name}{_labelled(method)}", sum(energy.counts), energy.sum)
        if not view.energy:
            yield f"{name:<{_LABEL_WIDTH + 16}}{sum(view.requests.values()):>9}  their energy is not known"


def _model(view: ModelView, name: str, count: int, joules: float) -> str:
    output = view.tokens["output"]
    counts = f"{count:>9}{view.tokens['input']:>11}{output:>11}"
    return f"{name:<{_LABEL_WIDTH + 16}}{counts}{joules:>13.2f}{_ratio(joules, count):>11}{_ratio(joules, output):>13}"


def _policies(policies: Sequence[PolicyResult]) -> Iterator[str]:
    yield f"{'policy':<{_LABEL_WIDTH}}{'requests':>10}{'joules':>13}{'in force':>10}{'moved':>8}"
    for one in policies:
        name = f"  {one.policy}" + (" (recorded)" if one.recorded else "")
        moved = "-" if one is policies[0] else f"{one.moved_share:.1%}"
        force = f"{one.in_force / one.requests:.0%}" if one.requests else "-"
        yield f"{name:<{_LABEL_WIDTH}}{one.requests:>10}{one.joules:>13.2f}{force:>10}{moved:>8}"
        yield from (f"    {one.policy} doubts on {server}: {why}" for server, why in one.doubts.items())
    yield "in force: requests shared by its own prices, the others by equal time."
    if len(policies) > 1:
        yield f"moved: of the joules, what goes to other requests than by {policies[0].policy}."


def _standings(result: Result) -> Sequence[str]:
    window_seconds = result.header.settings.scoring.window_seconds
    return side_by_side(result.standings, result.policies[0].policy, window_seconds, result.snapshot.models)


def _warnings(result: Result) -> Iterator[str]:
    if result.cut:
        yield f"! {result.cut}"
    if result.faults:
        yield f"! The pipeline met a bug {result.faults} times."
    if result.unmatched:
        yield f"! {result.unmatched} requests settled at different moments under different policies: not compared."
    if result.header.exporter != __version__:
        yield f"! Recorded by version {result.header.exporter}, replayed by {__version__}: figures may differ."


def _length(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 3600} h {whole % 3600 // 60} min {whole % 60} s"
        if whole >= 3600
        else (f"{whole // 60} min {whole % 60} s")
    )


def _ratio(total: float, parts: float) -> str:
    return f"{total / parts:.3f}" if parts else "-"
