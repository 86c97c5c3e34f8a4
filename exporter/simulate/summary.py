"""How a simulation ended, as text: the exporter's books, and beside them what is true. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from exporter.domain.snapshot import DeviceView, Share, Snapshot
from exporter.domain.units import Joules
from exporter.simulate.plan import Plan
from exporter.simulate.truth import Comparison, Truth

_LABEL = 22


@dataclass(frozen=True, slots=True)
class Result:
    """What is left of a simulation.

    Attributes:
        plan: what was simulated. seconds: how long.
        snapshot: the exporter's final books.
        board_joules: what each board truly drew while it was being read.
        truth: of the requests. busy_joules: true energy of all steps. refused: requests that no server took in.
    """

    plan: Plan
    seconds: float
    snapshot: Snapshot
    board_joules: Sequence[Joules]
    truth: Truth
    busy_joules: Joules
    refused: int


def summary(result: Result) -> str:
    """The whole text, below 120 columns, without colours."""
    sections = (_title(result), _books(result), _requests(result), _note())
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _title(result: Result) -> list[str]:
    plan = result.plan
    title = f"SIMULATED: {plan.served_model}, GPUs: {plan.boards}, servers: {plan.replicas}, {result.seconds:.1f} s"
    return [title, "=" * len(title)]


def _books(result: Result) -> list[str]:
    head = f"{'joules':<{_LABEL}}{'true':>12}{'metered':>12} ={'requests':>12} +{'idle':>11} +{'unattributed':>13}"
    head += f" +{'unsettled':>10}   off by"
    rows = zip(result.snapshot.devices, result.board_joules, strict=True)
    return [head, *(_book(view, true) for view, true in rows)]


def _book(view: DeviceView, true: Joules) -> str:
    booked = view.booked
    off = view.metered_joules - sum(booked.values()) - view.unsettled_joules
    requests, idle, unattributed = (booked.get(share, 0.0) for share in get_args(Share))
    return (
        f"{'  ' + view.device.uuid:<{_LABEL}}{true:>12.2f}{view.metered_joules:>12.2f} ={requests:>12.2f} +"
        f"{idle:>11.2f} +{unattributed:>13.2f} +{view.unsettled_joules:>10.2f}"
        f"   {abs(off) / max(view.metered_joules, 1e-9):.0e}"
    )


def _requests(result: Result) -> list[str]:
    truth, snapshot = result.truth, result.snapshot
    booked = sum(view.booked.get("requests", 0.0) for view in snapshot.devices)
    drawn, metered = sum(result.board_joules), sum(view.metered_joules for view in snapshot.devices)
    compared = sum(one.requests for one in truth.compared.values())
    return [
        _row("metered / true", f"{_ratio(metered, drawn)}   all boards, idle included"),
        _row("booked / true", f"{_ratio(booked, result.busy_joules)}   all requests together"),
        _row("requests", f"{truth.ended} ended, {compared} of them settled and compared, {result.refused} refused"),
        *(_row(f"share error of {policy}", _share_error(one)) for policy, one in sorted(truth.compared.items())),
    ]


def _share_error(one: Comparison) -> str:
    if one.share_error is None:
        return "nothing to compare"
    return f"{100.0 * one.share_error:.1f} %   of {one.true_joules:.0f} J of {one.requests} requests settled under it"


def _note() -> list[str]:
    return [
        "True is what the simulation knows and no exporter can: of a board, its power over the time that it was read",
        "(a sensor step more or less at either end); of a request, its Shapley value. Nothing here was measured.",
    ]


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}  {text}"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.4f}" if whole > 0.0 else "none"
