"""Energy budgets: what each is charged. One definition for metrics, dashboards and alerts.

    of a window     so many joules in a day, say. Charged what settles of the requests it covers; one that covers
                    everything is charged all that is metered, idle included
    per request     at most so many joules for a request, kept by a share of them, the objective

Whether a window's budget is kept is for whoever keeps history to say: here are only counters, which never go back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.domain.settings import BudgetSettings
from exporter.domain.snapshot import BudgetView, SettledRequest
from exporter.domain.units import Joules


@dataclass(slots=True)
class _Account:
    """What one budget has been charged. `over`: requests that took more than the limit."""

    joules: float = 0.0
    requests: int = 0
    over: int = 0


class Budgets:
    """All budgets of the configuration."""

    def __init__(self, settings: Sequence[BudgetSettings]) -> None:
        self._accounts = {budget.name: _Account() for budget in settings}
        self._settings = tuple(settings)

    def charge(self, settled: Sequence[SettledRequest]) -> None:
        """Charge settled requests to the budgets that cover them. What has no known energy is charged to nobody."""
        for budget in self._settings:
            account = self._accounts[budget.name]
            for one in settled:
                if one.has_energy and covers(budget, one):
                    account.joules += one.joules
                    account.requests += 1
                    account.over += one.joules > budget.joules

    def views(self, metered: float) -> tuple[BudgetView, ...]:
        """Each as it stands. `metered`: joules of all devices since the books began."""
        return tuple(
            BudgetView(
                settings=budget,
                consumed_joules=Joules(metered if covers_everything(budget) else self._accounts[budget.name].joules),
                requests=self._accounts[budget.name].requests,
                over=self._accounts[budget.name].over,
            )
            for budget in self._settings
        )

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {name: [one.joules, one.requests, one.over] for name, one in self._accounts.items()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot; budgets that are new begin at zero."""
        for name, (joules, requests, over) in snapshot.items():
            if name in self._accounts:
                self._accounts[name] = _Account(joules, requests, over)


def covers(budget: BudgetSettings, request: SettledRequest) -> bool:
    """Whether a request is charged to this budget."""
    return (
        budget.server in (None, request.server)
        and budget.model in (None, request.model)
        and budget.tenant in (None, request.tenant)
    )


def covers_everything(budget: BudgetSettings) -> bool:
    """Whether it is about the machine, not about requests."""
    named = (budget.server, budget.model, budget.tenant)
    return budget.window_seconds is not None and named == (None, None, None)
