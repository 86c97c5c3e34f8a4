"""Budgets: what was allowed, what was spent, and where it is going. Through the recording rules that alerts use too."""

from grafana import colours
from grafana.board import JOB, Board, Row, choice
from grafana.panels import Column, Look, stat, table, timeseries
from grafana.query import Query

RULES = 'job=~"$job", budget=~"$budget"'
WINDOWED = f'{RULES}, per!="request"'
SPENT = f"budget_per:llm_energy_budget_spent:ratio{{{RULES}}}"
ALLOWED = f"budget_per:llm_energy_budget_watts:sum{{{RULES}}}"
CONSUMED = f"budget_per:llm_energy_budget_consumed_joules:rate5m{{{WINDOWED}}}"
WINDOW = f"budget_per:llm_energy_budget_window_seconds:max{{{RULES}}}"
BURN = f"budget_per:llm_energy_budget_burn:ratio_rate%s{{{RULES}}}"
OVER = f"budget_per:llm_energy_budget_requests_over:ratio_rate%s{{{RULES}}}"
MAY_FAIL = f"budget_per:llm_energy_budget_may_fail:ratio{{{RULES}}}"
PER_REQUEST = f'sum by (budget) (llm_energy_budget_%s{{{RULES}, per="request"}})'
NAME = "{{budget}}"
NO_BUDGET = "no budget"

BUDGET = choice("budget", "Budget", 'label_values(llm_energy_budget_joules{job=~"$job"}, budget)')


def _states() -> Row:
    return Row(
        "How it stands",
        (
            stat(
                "Most spent",
                "The budget of which most is spent: joules in its window, up to now, over what it allows.",
                Query(f"max({SPENT})"),
                look=Look("percentunit", 0, steps=colours.SPENT, nothing=NO_BUDGET),
                width=6,
            ),
            stat(
                "Fastest burn, last hour",
                "Power charged to a budget over the power it allows. Near 1 is healthy: a budget is there to be spent. "
                "Above 1 it will not last.",
                Query(f"max({BURN % '1h'})"),
                look=Look("none", 2, steps=((None, "green"), (1.0, "yellow"), (1.5, "red")), nothing=NO_BUDGET),
                width=6,
            ),
            stat(
                "Budgets exhausted",
                "Budgets of which everything is spent.",
                Query(f"count({SPENT} >= 1) or vector(0) * count({SPENT})"),
                look=Look("none", 0, steps=colours.ANY_IS_BAD, nothing=NO_BUDGET),
                width=6,
            ),
            stat(
                "Most used of what may fail, last hour",
                "Of budgets per request: share of requests above the limit, over the share that may be. 1 uses up the "
                "objective exactly; 14.4 pages somebody.",
                Query(f"max({OVER % '1h'} / {MAY_FAIL})"),
                look=Look("none", 2, steps=((None, "green"), (1.0, "yellow"), (6.0, "red")), nothing=NO_BUDGET),
                width=6,
            ),
        ),
    )


def _windows() -> Row:
    by = "max by (budget, per) (%s)"
    return Row(
        "Budgets of a window",
        (
            table(
                "Spent, allowed and left",
                "The window rolls: it always ends now. Left lasts: at the pace of the last hour, until the budget "
                "is exhausted; negative where it is already. Fraction spent counts what Prometheus has seen: after "
                "a start it takes one window to be full.",
                {"budget": "Budget", "per": "Window"},
                Column("Allowed", by % f"{ALLOWED} * {WINDOW}", Look("joule", 1)),
                Column("Spent", by % f"{SPENT} * {ALLOWED} * {WINDOW}", Look("joule", 1)),
                Column("Fraction spent", by % SPENT, Look("percentunit", 1, steps=colours.SPENT), painted=True),
                Column("Power allowed", by % ALLOWED, Look("watt", 1)),
                Column("Power now", by % CONSUMED, Look("watt", 1)),
                Column(
                    "Burn, 1 h",
                    by % (BURN % "1h"),
                    Look("none", 2, steps=((None, "green"), (1.0, "yellow"), (1.5, "red"))),
                    painted=True,
                ),
                Column(
                    "Left lasts",
                    by % f"(1 - {SPENT}) * {WINDOW} / ({BURN % '1h'} > 0)",
                    Look("s", 1, least=None),
                ),
                height=8,
                sort="Fraction spent",
                nothing=NO_BUDGET,
            ),
            timeseries(
                "Fraction spent",
                "Of each budget, in its rolling window. The dashed lines are 80 % and all of it.",
                Query(SPENT, NAME),
                look=Look("percentunit", steps=colours.SPENT, nothing=NO_BUDGET),
                bounds=True,
            ),
            timeseries(
                "Burn rate, last hour",
                "Power charged over power allowed, in the last hour. On the dashed line, "
                "1, a budget lasts exactly its window.",
                Query(BURN % "1h", NAME),
                look=Look("none", steps=((None, "green"), (1.0, "red")), nothing=NO_BUDGET),
                bounds=True,
            ),
        ),
    )


def _requests() -> Row:
    ok = "1 - " + OVER
    return Row(
        "Budgets of each request",
        (
            table(
                "Objective and what was kept",
                "So large a share of the requests is to stay within the limit. Kept: the share that did. Burn: "
                "requests above the limit, over what may be.",
                {"budget": "Budget"},
                Column("Limit", PER_REQUEST.replace("sum by", "max by") % "joules", Look("joule", 1)),
                Column("Objective", f"max by (budget) (1 - {MAY_FAIL})", Look("percentunit", 1)),
                Column("Kept, 1 h", f"max by (budget) ({ok % '1h'})", Look("percentunit", 1)),
                Column(
                    "Burn, 1 h",
                    f"max by (budget) ({OVER % '1h'} / {MAY_FAIL})",
                    Look("none", 2, steps=((None, "green"), (1.0, "yellow"), (6.0, "red"))),
                    painted=True,
                ),
                width=12,
                height=9,
                nothing=NO_BUDGET,
            ),
            timeseries(
                "Requests above their limit, over what may be",
                "1: just as many requests were above the limit as the objective allows. Alerts look at two windows at "
                "once: 14.4 over 1 h and 5 min, 6 over 6 h and 30 min, 3 over a day, 1 over three days.",
                Query(f"{OVER % '5m'} / {MAY_FAIL}", "{{budget}}, 5 min"),
                Query(f"{OVER % '1h'} / {MAY_FAIL}", "{{budget}}, 1 h"),
                look=Look("none", steps=((None, "green"), (1.0, "red")), nothing=NO_BUDGET),
                bounds=True,
                height=9,
            ),
        ),
    )


BOARD = Board(
    "budgets",
    "LLM energy / Budgets",
    "Energy budgets of the exporter's configuration: allowed, spent, and how long the rest lasts. Needs the recording "
    "rules of deploy/prometheus.",
    (JOB, BUDGET),
    (_states(), _windows(), _requests()),
    'job=~"$job"',
    since="now-3h",
)
