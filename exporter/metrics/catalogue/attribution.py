"""How energy is shared among requests."""

from exporter.metrics.catalogue.family import Family

ATTRIBUTION_POLICY = Family(
    "llm_attribution_policy_info",
    "info",
    "The attribution policy in force. It differs from the configured one until that can be trusted.",
    ("server", "policy", "configured"),
    "Attribution",
)
ATTRIBUTION_COEFFICIENT = Family(
    "llm_attribution_coefficient",
    "gauge",
    "What the attribution policy learned: joules per step and per token of each kind; watts for idle.",
    ("server", "term"),
    "Attribution",
    "experimental",
)

FAMILIES = (
    ATTRIBUTION_POLICY,
    ATTRIBUTION_COEFFICIENT,
)
"""In the order of the page."""
