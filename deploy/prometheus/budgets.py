"""Rules of energy budgets, which come from the exporter's configuration as `llm_energy_budget_*`.

A budget is of one exporter. Where many share a configuration, their budgets of the same name are added up, and so is
what they consumed: a deployment that grows is allowed more.

Two kinds, and they have little in common.

    per request     a share of requests (the objective) is to keep a limit. That is a service level like any other, so
                    the burn rates of the SRE workbook apply: how fast is what may fail used up?
    of a window     so many joules in any stretch of the window's length. Such a budget is there to be spent, so its
                    healthy burn is near 1, and more than the machine can draw it can never be: burn rates of 14 do
                    not exist. It is watched by pace, by projection, against capacity, and when it is gone.
"""

from dataclasses import dataclass

from deploy.prometheus.recording import added_up, rate
from deploy.prometheus.rules import INTERVAL_SECONDS, TARGETS, Alert, Group, Recording, Severity

_REQUESTS = "budget_per:llm_energy_budget_requests:rate5m"
_OVER = "budget_per:llm_energy_budget_requests_over:rate5m"
_OVER_RATIO = "budget_per:llm_energy_budget_requests_over:ratio_rate"
_MAY_FAIL = "budget_per:llm_energy_budget_may_fail:ratio"
_CONSUMED = "budget_per:llm_energy_budget_consumed_joules:rate5m"
_ALLOWED = "budget_per:llm_energy_budget_watts:sum"
_WINDOW = "budget_per:llm_energy_budget_window_seconds:max"
_BURN = "budget_per:llm_energy_budget_burn:ratio_rate"
_SPENT = "budget_per:llm_energy_budget_spent:ratio"
_PROJECTED = "budget_per:llm_energy_budget_projected:ratio"
_CAPACITY = "budget_per:llm_device_power_watts:sum"

_LEAST_OVER = 5
"""So many requests must have been over the limit: of few requests, one is a large share."""

_HIGHEST_OVER_RATIO = 0.9
"""14.4 times what may fail is more than all requests where the objective is low; then this share must do."""


@dataclass(frozen=True, slots=True)
class Burn:
    """A row of the workbook's table, for an objective over 30 days: so much of what may fail is used in `long`."""

    factor: float
    long: str
    short: str
    wait: str
    severity: Severity
    used: str


BURNS = (
    Burn(14.4, "1h", "5m", "2m", "critical", "2 %"),
    Burn(6, "6h", "30m", "15m", "critical", "5 %"),
    Burn(3, "1d", "2h", "1h", "warning", "10 %"),
    Burn(1, "3d", "6h", "3h", "warning", "10 %"),
)


@dataclass(frozen=True, slots=True)
class Window:
    """A length of which the rules know what was spent in it.

    Attributes:
        ahead, rest: a sixth of it, for which is foretold what will have been spent, and the other five.
        recent: how much of the latest past is taken to go on.
    """

    name: str
    seconds: int
    ahead: str
    rest: str
    recent: str


WINDOWS = (
    Window("1h", 3_600, "10m", "50m", "15m"),
    Window("1d", 86_400, "4h", "20h", "1h"),
    Window("7d", 604_800, "28h", "140h", "6h"),
    Window("30d", 2_592_000, "5d", "25d", "1d"),
)


def budget_recordings(interval: int = INTERVAL_SECONDS) -> tuple[Group, ...]:
    """What is spent, allowed, and over the limit."""
    per_request = ("llm_energy_budget_requests_total", "llm_energy_budget_requests_over_total")
    return (
        Group(
            "llm-energy-budgets",
            (
                *(rate("budget_per", name) for name in per_request),
                Recording(_MAY_FAIL, f"1 - max without ({TARGETS}) (llm_energy_budget_objective_ratio)"),
                *_over_ratios(),
                rate("budget_per", "llm_energy_budget_consumed_joules_total"),
                Recording(_ALLOWED, added_up("llm_energy_budget_joules / llm_energy_budget_window_seconds")),
                Recording(_WINDOW, f"max without ({TARGETS}) (llm_energy_budget_window_seconds)"),
                Recording(_CAPACITY, _capacity()),
                Recording(f"{_BURN}5m", f"{_CONSUMED} / ({_ALLOWED} > 0)"),
                *(Recording(f"{_BURN}{length}", f"avg_over_time({_BURN}5m[{length}])") for length in ("1h", "6h")),
                Recording(_SPENT, "or\n".join(_spent(window, interval) for window in WINDOWS)),
                Recording(_PROJECTED, "or\n".join(_projection(window, interval) for window in WINDOWS)),
            ),
        ),
    )


def _over_ratios() -> tuple[Recording, ...]:
    lengths = sorted({length for burn in BURNS for length in (burn.long, burn.short)} - {"5m"})
    first = Recording(f"{_OVER_RATIO}5m", f"{_OVER} / ({_REQUESTS} > 0)")
    return (
        first,
        *(
            Recording(
                f"{_OVER_RATIO}{length}",
                f"avg_over_time({_OVER}[{length}]) / (avg_over_time({_REQUESTS}[{length}]) > 0)",
            )
            for length in lengths
        ),
    )


def _capacity() -> str:
    """Power of the machines that have the budget: it may cover less than they draw, never more."""
    power = "sum without (device, uuid, kind, name) (llm_device_power_watts)"
    return added_up(f"(llm_energy_budget_window_seconds > bool 0) * ignoring (budget, per) group_left () {power}")


def _spent(window: Window, interval: int) -> str:
    return (
        f"sum_over_time({_CONSUMED}[{window.name}]) * {interval} / {_may_spend(window)}\n"
        f"and {_WINDOW} == {window.seconds}\n"
    )


def _projection(window: Window, interval: int) -> str:
    """What is spent now and what will be in a sixth of the window, less what will have left the window by then."""
    leaving = f"sum_over_time({_CONSUMED}[{window.ahead}] offset {window.rest}) * {interval} / {_may_spend(window)}"
    return (
        f"{_SPENT} + avg_over_time({_BURN}5m[{window.recent}]) / 6\n"
        f"- ({leaving} or 0 * {_SPENT})\n"
        f"and {_WINDOW} == {window.seconds}\n"
    )


def _may_spend(window: Window) -> str:
    """Joules that the window allows: of a fleet that changed its size, as a mean over it."""
    return f"(avg_over_time({_ALLOWED}[{window.name}]) * {window.seconds})"


def budget_alerts(interval: int = INTERVAL_SECONDS) -> tuple[Group, ...]:
    """Objectives that are missed, budgets that are overspent."""
    return (
        Group("llm-energy-objectives", tuple(_objective(burn, interval) for burn in BURNS)),
        Group("llm-energy-budget", (_pace(), _projected(), _fast(), _exhausted())),
    )


def _objective(burn: Burn, interval: int) -> Alert:
    limit = f"clamp_max({burn.factor:g} * {_MAY_FAIL}, {_HIGHEST_OVER_RATIO:g})"
    return Alert(
        "LLMEnergyRequestObjectiveBurn",
        f"""
        {_OVER_RATIO}{burn.long} > {limit}
        and
        {_OVER_RATIO}{burn.short} > {limit}
        and
        sum_over_time({_OVER}[{burn.long}]) * {interval} >= {_LEAST_OVER}
        """,
        burn.wait,
        burn.severity,
        "Too many requests take more energy than budget {{ $labels.budget }} allows each of them",
        f"""{{{{ $value | humanizePercentage }}}} of the requests that budget {{{{ $labels.budget }}}} covers took more
        than its joules in the last {burn.long}, and the last {burn.short} are no better. At that rate
        at least {burn.used} of what may be over in 30 days is used up every {burn.long}.""",
        {"long_window": burn.long, "short_window": burn.short},
    )


def _pace() -> Alert:
    return Alert(
        "LLMEnergyBudgetPace",
        f"""
        avg_over_time({_BURN}5m[15m]) > 1.1 and {_WINDOW} < 21600
        or
        avg_over_time({_BURN}5m[6h]) > 1.1 and {_WINDOW} >= 21600 < 259200
        or
        avg_over_time({_BURN}5m[2d]) > 1.1 and {_WINDOW} >= 259200
        """,
        "30m",
        "warning",
        "Energy budget {{ $labels.budget }} is spent faster than it lasts",
        """Energy is used {{ $value | humanize }} times as fast as budget {{ $labels.budget }} of {{ $labels.per }}
        allows, as a mean over a good part of that window. If it goes on, the budget will not last.""",
    )


def _projected() -> Alert:
    return Alert(
        "LLMEnergyBudgetProjectedExhaustion",
        f"{_PROJECTED} > 1 and {_SPENT} <= 1",
        "5m",
        "warning",
        "Energy budget {{ $labels.budget }} will soon be used up",
        """If it goes on like this, {{ $value | humanizePercentage }} of budget {{ $labels.budget }} will have been
        spent within {{ $labels.per }} when another sixth of that time is over.""",
    )


def _fast() -> Alert:
    threshold = f"clamp(0.95 * max_over_time({_CAPACITY}[7d]) / ({_ALLOWED} > 0), 1.1, 3)"
    return Alert(
        "LLMEnergyBudgetFastBurn",
        f"""
        {_BURN}1h > {threshold}
        and
        {_BURN}5m > {threshold}
        and
        {_WINDOW} >= 21600
        """,
        "5m",
        "critical",
        "Energy budget {{ $labels.budget }} burns as fast as these machines can burn it",
        """In the last hour energy was used {{ $value | humanize }} times as fast as budget {{ $labels.budget }} of
        {{ $labels.per }} allows, which is three times, or nearly all that these machines ever drew.""",
    )


def _exhausted() -> Alert:
    return Alert(
        "LLMEnergyBudgetExhausted",
        f"{_SPENT} > 1",
        "1m",
        "critical",
        "Energy budget {{ $labels.budget }} is used up",
        """{{ $value | humanizePercentage }} of budget {{ $labels.budget }} was spent in the last
        {{ $labels.per }}.""",
    )
