"""Idle watts that the exporter learned, against the pauses as they were metered."""

from validation.judging.evidence import Evidence, idle_watts, pauses
from validation.judging.finding import Findings

WITHIN = 0.05


def judge(evidence: Evidence, found: Findings) -> None:
    """All pauses together, and each."""
    for phase, seconds, joules in pauses(evidence):
        watts = None if joules is None else joules / seconds
        found.row("pauses", {"phase": phase.name, "s without ends": max(seconds, 0.0), "W": watts})
    paused, learned = idle_watts(evidence), _learned(evidence)
    found.figure("idle_watts_metered", paused, "W", note="over all pauses without their ends")
    found.figure("idle_watts_learned", learned, "W", note="by the exporter, from every moment without a request")
    ratio = learned / paused if learned is not None and paused else None
    found.check(
        "learned idle power is the pauses'",
        f"a ratio within {WITHIN:.0%} of 1",
        "not known" if ratio is None else f"{ratio:.3f}: {learned:.1f} W learned, {paused:.1f} W metered",
        None if ratio is None else abs(ratio - 1.0) <= WITHIN,
    )


def _learned(evidence: Evidence) -> float | None:
    views = evidence.played.told[evidence.played.recorded].books.devices
    watts = [view.idle_watts for view in views]
    return sum(each for each in watts if each is not None) if watts and None not in watts else None
