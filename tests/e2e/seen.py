"""What the exporter told of requests, beside what their clients saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from exporter.demo.load import ClientFact
from tests.e2e.exporter_process import Page, RunningExporter
from tests.e2e.web import wait_until

Receipt = Mapping[str, Any]
ROUNDING = 1e-9


@dataclass(frozen=True)
class Pair:
    """One request twice: as its client saw it and as it was told."""

    fact: ClientFact
    receipt: Receipt

    @property
    def arrival(self) -> float:
        """Seconds by which it was told to arrive after its client sent it."""
        return float(self.receipt["start"] - self.receipt["queued_seconds"] - self.fact.start)

    @property
    def start(self) -> float:
        """Seconds by which it was told to start after its client sent it."""
        return float(self.receipt["start"] - self.fact.start)

    @property
    def end(self) -> float:
        """Seconds by which it was told to end after its client saw the end."""
        return float(self.receipt["end"] - self.fact.end)

    @property
    def first_token(self) -> float | None:
        """Seconds by which it was told to give its first token after its client saw it; None if one does not know."""
        told = self.receipt["time_to_first_token_seconds"]
        if told is None or self.fact.first_token is None:
            return None
        return float(self.receipt["start"] - self.receipt["queued_seconds"] + told - self.fact.first_token)


def pairs(facts: Sequence[ClientFact], receipts: Sequence[Receipt]) -> list[Pair]:
    """Each fact with the receipt that is nearest in time, of those alike in outcome and tokens, if there are any."""
    left, found = list(receipts), []
    for fact in sorted(facts, key=lambda one: one.end):
        alike = [one for one in left if one["outcome"] == fact.outcome and _same_tokens(fact, one)] or left
        nearest = min(alike, key=lambda one: abs(Pair(fact, one).end) + abs(Pair(fact, one).arrival), default=None)
        assert nearest is not None, f"{len(facts)} requests were sent, and only {len(receipts)} told"
        left.remove(nearest)
        found.append(Pair(fact, nearest))
    return found


def _same_tokens(fact: ClientFact, receipt: Receipt) -> bool:
    seen, told = (fact.prompt_tokens, fact.output_tokens), (receipt["prompt_tokens"], receipt["output_tokens"])
    return None in seen or None in told or seen == told


def assert_near(offsets: Sequence[float], *, each: float, typical: float) -> None:
    """All of them within `each` seconds of zero, and the middle one within `typical`."""
    assert offsets
    assert max(map(abs, offsets)) < each, sorted(offsets)
    assert abs(median(offsets)) < typical, sorted(offsets)


def wait_until_settled(exporter: RunningExporter, sent: Mapping[str, int], seconds: float = 60.0) -> None:
    """Waits until so many requests of each server are settled."""

    def are_settled() -> bool:
        page = exporter.page()
        return all(page.sum("llm_requests_total", server=server) >= number for server, number in sent.items())

    wait_until(are_settled, seconds, f"{dict(sent)} requests are settled")


def assert_books_balance(page: Page) -> None:
    """Every joule that the one device drew is booked or waits to be."""
    [metered] = page.of("llm_device_energy_joules_total")
    device = metered.labels["device"]
    booked = page.sum("llm_energy_joules_total", device=device)
    unsettled = page.sum("llm_energy_unsettled_joules", device=device)
    assert metered.value > 0
    assert abs(metered.value - booked - unsettled) / metered.value <= ROUNDING
