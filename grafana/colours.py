"""One thing has one colour, on whichever dashboard it is."""

SHARES = {
    "requests": "green",
    "idle": "semi-dark-blue",
    "unattributed": "red",
    "not settled yet": "#6b7280",
    "metered": "text",
    "running": "yellow",
}
PROXIES = {
    "time": "orange",
    "affine_time": "yellow",
    "time_share": "purple",
    "tokens": "blue",
    "step_model": "green",
    "peak": "red",
}
OUTCOMES = {"ok": "green", "aborted": "yellow", "error": "red"}
PHASES = {"prefill": "blue", "decode": "orange"}
LINES = {"used": "green", "ignored": "semi-dark-blue", "dropped": "red"}
QUANTILES = {"p50": "green", "p95": "yellow", "p99": "red", "mean": "blue"}

Steps = tuple[tuple[float | None, str], ...]
"""Thresholds: from which value on which colour; the first has no value."""

PLAIN: Steps = ((None, "blue"),)
MORE_IS_WORSE: Steps = ((None, "green"), (0.1, "yellow"), (0.3, "orange"), (1.0, "red"))
MORE_IS_BETTER: Steps = ((None, "red"), (0.5, "orange"), (0.8, "yellow"), (0.95, "green"))
ANY_IS_BAD: Steps = ((None, "green"), (1e-9, "red"))
NEAR_ONE: Steps = ((None, "red"), (0.9, "yellow"), (0.95, "green"), (1.05, "yellow"), (1.1, "red"))
SPENT: Steps = ((None, "green"), (0.8, "yellow"), (1.0, "red"))
