"""The demo's result as text for somebody who has never seen the exporter. Pure: snapshot in, text out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import nan
from textwrap import wrap

from exporter.demo.load import ClientFact
from exporter.domain.events import Outcome
from exporter.domain.readings import Device
from exporter.domain.snapshot import DeviceView, SettledRequest, Snapshot
from exporter.scoreboard import scoreboard

OUTCOMES: tuple[Outcome, ...] = ("ok", "aborted", "error")

_LABEL_WIDTH = 25
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a result comes from that was not found here and now.

    Attributes:
        name: of the recording. origin: when, and on what. ran, energy: what it was, and how its energy came to be
            known, in words; empty where nobody said.
        settled: all its requests. warnings: what a reader should know, in words.
    """

    name: str
    origin: str
    ran: str
    energy: str
    settled: Sequence[SettledRequest]
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo found.

    Attributes:
        model: the name of the served model.
        snapshot: the exporter's books. facts: what the clients saw of the same requests.
        url: where the exporter still answers, without a trailing slash; None once it has ended.
        window_seconds: length of the windows in which proxies are scored.
        recorded: of a recording, whose clients nobody asked; None: found here and now.
    """

    model: str
    snapshot: Snapshot
    facts: Sequence[ClientFact]
    url: str | None = None
    window_seconds: float = 60.0
    recorded: Recorded | None = None

    @property
    def settled(self) -> Sequence[SettledRequest]:
        """The requests: of a recording all, else the latest."""
        return self.snapshot.recent if self.recorded is None else self.recorded.settled


def summary(result: Result) -> str:
    """The whole text, below 100 columns, without colours."""
    snapshot = result.snapshot
    sections = (
        *(_title(result), _meters(snapshot), _requests(result), _books(snapshot)),
        *(_proxies(snapshot, result.window_seconds), _next(result)),
    )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def imbalance(device: DeviceView) -> float:
    """How far the device's books are from adding up, relative to what was metered."""
    booked = sum(device.booked.values()) + device.unsettled_joules
    return abs(device.metered_joules - booked) / device.metered_joules if device.metered_joules else 0.0


def _title(result: Result) -> list[str]:
    recorded = result.recorded
    how = "served by llama-server on this machine's CPU" if recorded is None else f"from recording {recorded.name}"
    title = f"Joules per request: {result.model}, {how}"
    return [title, "=" * len(title), *(_origin(recorded) if recorded is not None else ())]


def _origin(recorded: Recorded) -> list[str]:
    rows = [("recorded", recorded.origin), ("what ran", recorded.ran), ("its energy", recorded.energy)]
    lines = [line for label, text in rows if text for line in _wrapped(label, text)]
    return ["", *lines, *(line for one in recorded.warnings for line in _wrapped("!", one))]


def _wrapped(label: str, text: str) -> list[str]:
    lines = wrap(text, _WIDTH - _LABEL_WIDTH - 2)
    return [_row(label if number == 0 else "", line) for number, line in enumerate(lines)]


def _meters(snapshot: Snapshot) -> list[str]:
    return [line for view in snapshot.devices for line in _meter(view)]


def _meter(view: DeviceView) -> list[str]:
    named = f"{view.device.name} {view.device.model}".strip()
    lines = [_row("metered by", f"{_sensor(view.device)} of {named}")]
    if view.device.method == "estimated":
        lines.append(_row("!! ESTIMATED !!", "no power sensor could be read; watts are a model of CPU utilisation:"))
        lines.append(_row("", "it shows how energy finds its request, not what the machine truly draws"))
    return lines


def _sensor(device: Device) -> str:
    if device.method == "estimated":
        return "an ESTIMATE"
    if device.method == "simulated":
        return "a SIMULATION"
    if device.method == "recorded":
        return "a RECORDING"
    return "the energy counter" if device.has_counter else "the power sensor"


def _requests(result: Result) -> list[str]:
    settled, asked = result.settled, result.recorded is None
    joules = [request.joules for request in settled]
    per_token = _ratio(
        sum(request.joules for request in settled if request.output_tokens),
        sum(request.output_tokens or 0 for request in settled),
    )
    return [
        _row("requests", _beside(_outcomes(result.snapshot), f"clients saw {_seen(result.facts)}", asked)),
        _row("joules per request", f"{_spread(joules)}"),
        _row("  of those that ran alone", _spread(_alone(settled))),
        _row("joules per output token", f"{per_token:.3f}"),
        _row("output tokens", _beside(str(_tokens(settled)), f"clients were told {_told(result.facts)}", asked)),
        _row("seconds per request", _beside(_durations(settled), f"clients waited {_waited(result.facts)}", asked)),
    ]


def _beside(found: str, clients: str, asked: bool) -> str:  # noqa: FBT001 - whether there are clients who could say
    return f"{found}   ({clients})" if asked else found


def _books(snapshot: Snapshot) -> list[str]:
    head = f"{'joules':<{_LABEL_WIDTH}}{'metered':>10} ={'requests':>10} +{'idle':>10} +{'unattributed':>13}"
    head += f" +{'unsettled':>10}   off by"
    waiting = any(view.unsettled_joules for view in snapshot.devices)
    note = ["  unsettled: metered, and kept open because news about its requests may still come"] if waiting else []
    return [head, *(_book(view) for view in snapshot.devices), *note]


def _book(view: DeviceView) -> str:
    booked = view.booked
    return (
        f"{'  ' + view.device.name:<{_LABEL_WIDTH}}{view.metered_joules:>10.2f} ={booked.get('requests', 0):>10.2f} +"
        f"{booked.get('idle', 0):>10.2f} +{booked.get('unattributed', 0):>13.2f} +{view.unsettled_joules:>10.2f}"
        f"   {imbalance(view):.0e}"
    )


def _proxies(snapshot: Snapshot, window_seconds: float) -> list[str]:
    title = "How far does time stand in for energy here?"
    estimated = any(view.device.method == "estimated" for view in snapshot.devices)
    warned = [
        "!! ESTIMATED !! energy here is a model of CPU utilisation: this shows how proxies are held to",
        "account, not how good they are. Where a sensor can be read, it shows that as well.",
    ]
    return [
        *(title, "-" * len(title)),
        *(warned if estimated else []),
        "The smaller a proxy's error where energy is metered (the two grounds on the left), the further its",
        "kind of time can stand in for a meter on this machine, this model and this load.",
        "",
        *scoreboard(snapshot.proxies, window_seconds),
    ]


def _next(result: Result) -> list[str]:
    url = result.url
    look = [("live page", f"{url}/"), ("metrics for Prometheus", f"{url}/metrics")]
    recording = f" --recording {result.recorded.name}" if result.recorded is not None else ""
    page = "the live page" if result.recorded is None else "its page"
    keep = [(page, f"llm-energy-exporter demo{recording} --keep   (stays up until Ctrl-C)")]
    return [
        *(_row(*pair) for pair in (look if url else keep)),
        _row("your own server", "llm-energy-exporter run --source llamacpp --log /path/to/its.log"),
        _row("", "(or vllm, or jsonl for a proxy's log; a GPU is found by itself)"),
    ]


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}}  {text}".rstrip()


def _outcomes(snapshot: Snapshot) -> str:
    return _by_outcome({name: sum(view.requests.get(name, 0) for view in snapshot.models) for name in OUTCOMES})


def _seen(facts: Iterable[ClientFact]) -> str:
    outcomes = [fact.outcome for fact in facts]
    return _by_outcome({name: outcomes.count(name) for name in OUTCOMES})


def _by_outcome(counts: dict[Outcome, int]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name] or name == "ok")


def _alone(settled: Sequence[SettledRequest]) -> list[float]:
    """Joules of the requests that no other one overlapped: metered, whatever rule shares the rest."""
    return [
        one.joules
        for one in settled
        if not any(other is not one and other.start < one.end and one.start < other.end for other in settled)
    ]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    mean = sum(values) / len(values)
    return f"mean {mean:<8.2f} min {min(values):<8.2f} max {max(values):<8.2f} n={len(values)}"


def _tokens(settled: Iterable[SettledRequest]) -> int:
    return sum(request.output_tokens or 0 for request in settled if request.outcome == "ok")


def _told(facts: Iterable[ClientFact]) -> int:
    return sum(fact.output_tokens or 0 for fact in facts)


def _durations(settled: Iterable[SettledRequest]) -> str:
    return _mean([request.end - request.start for request in settled])


def _waited(facts: Iterable[ClientFact]) -> str:
    return _mean([fact.seconds for fact in facts])


def _mean(values: Sequence[float]) -> str:
    return f"mean {_ratio(sum(values), len(values)):.3f}"


def _ratio(total: float, parts: float) -> float:
    return total / parts if parts else nan
