"""Energy budgets and carbon."""

from exporter.metrics.catalogue.family import Family

BUDGET_INFO = Family(
    "llm_energy_budget_info",
    "info",
    "Whom an energy budget covers; empty labels cover everybody.",
    ("budget", "per", "server", "model", "tenant"),
    "Budgets and carbon",
)
BUDGET = Family(
    "llm_energy_budget_joules",
    "gauge",
    "Energy that a budget allows, in its window or for a request.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_WINDOW = Family(
    "llm_energy_budget_window_seconds",
    "gauge",
    "Length of a budget's window. A budget per request has none.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_CONSUMED = Family(
    "llm_energy_budget_consumed_joules_total",
    "counter",
    "Energy charged to a budget: of the settled requests it covers, or all that is metered if it covers everything.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_OBJECTIVE = Family(
    "llm_energy_budget_objective_ratio",
    "gauge",
    "Share of requests that are to keep a budget per request.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_REQUESTS = Family(
    "llm_energy_budget_requests_total",
    "counter",
    "Settled requests charged to a budget per request.",
    ("budget", "per"),
    "Budgets and carbon",
)
BUDGET_OVER = Family(
    "llm_energy_budget_requests_over_total",
    "counter",
    "Of these, requests that took more energy than the budget allows.",
    ("budget", "per"),
    "Budgets and carbon",
)
CARBON = Family(
    "llm_carbon_dioxide_equivalent_grams_total",
    "counter",
    "Modelled: energy of settled requests times the configured intensity of the grid and PUE.",
    ("server",),
    "Budgets and carbon",
)
CARBON_INTENSITY = Family(
    "llm_carbon_intensity_grams_per_joule",
    "gauge",
    "As configured: what the grid emits for a joule.",
    (),
    "Budgets and carbon",
)
PUE = Family(
    "llm_pue_ratio",
    "gauge",
    "As configured: the building's energy for each joule of the machine.",
    (),
    "Budgets and carbon",
)

FAMILIES = (
    BUDGET_INFO,
    BUDGET,
    BUDGET_WINDOW,
    BUDGET_CONSUMED,
    BUDGET_OBJECTIVE,
    BUDGET_REQUESTS,
    BUDGET_OVER,
    CARBON,
    CARBON_INTENSITY,
    PUE,
)
"""In the order of the page."""
