"""Every joule has a row, and the rows add up to what the counter itself counted."""

from collections.abc import Mapping

from exporter.domain.snapshot import DeviceView
from validation.judging.evidence import Evidence
from validation.judging.finding import Findings
from validation.judging.played import Told, Variant
from validation.serving.run import DeviceBooks

BALANCE = 1e-9
COUNTER = 0.005
"""Metered against the counter's own difference: a step at either end of some minutes."""


def judge(evidence: Evidence, found: Findings) -> None:
    """Of each policy's books, of metering, and of the books that the running exporter showed."""
    _judge_books(evidence.played.told, found)
    _judge_sums(evidence.played.told, found)
    _judge_counters(evidence, found)
    _judge_live(evidence, found)
    found.check(
        "the pipeline met no bug", "0 faults in the replays", str(evidence.played.faults), evidence.played.faults == 0
    )
    found.check("the recording is whole", "not cut off", evidence.played.cut or "whole", not evidence.played.cut)


def imbalance(view: DeviceView) -> float:
    """How far a device's books are from adding up, relative to what was metered."""
    booked = sum(view.booked.values()) + view.unsettled_joules
    return abs(view.metered_joules - booked) / max(view.metered_joules, 1.0)


def _judge_books(stories: Mapping[Variant, Told], found: Findings) -> None:
    for policy, told in stories.items():
        for view in told.books.devices:
            found.row("books in joules", _row(policy, view))
    worst = max((imbalance(view) for told in stories.values() for view in told.books.devices), default=None)
    found.check(
        "books balance under every policy",
        f"to {BALANCE:g} of what was metered",
        "nothing was metered" if worst is None else f"{worst:.1e} at worst",
        None if worst is None else worst <= BALANCE,
    )


def _row(policy: Variant, view: DeviceView) -> dict[str, object]:
    return {
        "policy": policy,
        "device": view.device.name,
        "metered": view.metered_joules,
        **{share: view.booked.get(share, 0.0) for share in ("requests", "idle", "unattributed")},
        "unsettled": view.unsettled_joules,
    }


def _judge_sums(stories: Mapping[Variant, Told], found: Findings) -> None:
    """What requests were given is what stands in the books as theirs."""
    offs = [_off(told) for told in stories.values() if told.settled]
    found.check(
        "requests' joules are the books' under every policy",
        f"to {BALANCE:g}",
        f"{max(offs):.1e} at worst" if offs else "nothing settled",
        max(offs) <= BALANCE if offs else None,
    )


def _off(told: Told) -> float:
    given = sum(one.joules for one in told.settled if one.has_energy)
    booked = sum(view.booked.get("requests", 0.0) for view in told.books.devices)
    return abs(given - booked) / max(booked, 1.0)


def _judge_counters(evidence: Evidence, found: Findings) -> None:
    for view in evidence.played.told[evidence.played.recorded].books.devices:
        counted = evidence.played.metered.counted(view.device.name)
        name = f"{view.device.name} was metered as its counter counted"
        expected = f"a ratio within {COUNTER:.1%} of 1"
        if counted is None or counted <= 0.0:
            why = "its counter went back" if evidence.played.metered.resets else "it has no counter that stepped"
            found.check(name, expected, why, None)
            continue
        ratio = view.metered_joules / counted
        found.figure(f"{view.device.name}_metered_over_counter", ratio, "ratio", note="joules metered over counted")
        found.check(
            name,
            expected,
            f"{ratio:.5f}: {view.metered_joules:.1f} J metered, {counted:.1f} J counted",
            abs(ratio - 1.0) <= COUNTER,
        )


def _judge_live(evidence: Evidence, found: Findings) -> None:
    """What the exporter that ran showed at its end, before any replay."""
    books = evidence.run.books
    if books is None:
        found.check(
            "the running exporter's books balance", f"to {BALANCE:g}", "they were not heard at the end of the run", None
        )
        return
    for device in books.devices:
        off = _live_imbalance(device)
        found.check(
            f"the running exporter's books of {device.device} balance", f"to {BALANCE:g}", f"{off:.1e}", off <= BALANCE
        )
    found.check("the running exporter met no bug", "0 faults", str(books.faults), books.faults == 0)


def _live_imbalance(device: DeviceBooks) -> float:
    booked = device.attributed + device.idle + device.unattributed + device.unsettled
    return abs(device.metered - booked) / max(device.metered, 1.0)
