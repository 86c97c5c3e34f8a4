"""Time as a proxy for energy: predictions and their scores."""

from exporter.metrics.catalogue.family import Family

_MODEL = ("server", "model")
_GROUND = (*_MODEL, "proxy", "ground")

PROXY_ENERGY = Family(
    "llm_time_proxy_energy_joules_total",
    "counter",
    "Energy of settled requests as the proxy predicted it, each before it knew.",
    (*_MODEL, "proxy"),
    "Time as a proxy",
)
PROXY_SCORE = Family(
    "llm_time_proxy_score",
    "gauge",
    "How well the proxy's latest predictions did. Absent where a score is not defined yet.",
    (*_GROUND, "score"),
    "Time as a proxy",
)
PROXY_LIFETIME_SCORE = Family(
    "llm_time_proxy_lifetime_score",
    "gauge",
    "How well all of the proxy's predictions did, since the books began.",
    (*_GROUND, "score"),
    "Time as a proxy",
)
PROXY_SAMPLES = Family(
    "llm_time_proxy_samples_total",
    "counter",
    "Predictions that were held against energy.",
    _GROUND,
    "Time as a proxy",
)
PROXY_ERROR = Family(
    "llm_time_proxy_error_ratio",
    "histogram",
    "Predicted over actual energy: 1 is right, 2 is twice too much. Absent until the ground has a sample.",
    _GROUND,
    "Time as a proxy",
)
PROXY_DRIFT = Family(
    "llm_time_proxy_drift",
    "gauge",
    "How far recent errors have left their own history, in standard deviations. Absent while unknown.",
    _GROUND,
    "Time as a proxy",
    "experimental",
)
PROXY_DRIFTING = Family(
    "llm_time_proxy_drifting",
    "gauge",
    "1 if recent errors have left their own history further than chance would, else 0. Absent while unknown.",
    _GROUND,
    "Time as a proxy",
    "experimental",
)
PROXY_UNPREDICTED = Family(
    "llm_time_proxy_unpredicted_total",
    "counter",
    "Settled requests of which the proxy could say nothing: it had not learned, or the log lacks what it needs.",
    (*_MODEL, "proxy"),
    "Time as a proxy",
)
PROXY_COEFFICIENT = Family(
    "llm_time_proxy_coefficient",
    "gauge",
    "What the proxy learned: joules for each of what the term names.",
    (*_MODEL, "proxy", "term"),
    "Time as a proxy",
    "experimental",
)
PROXY_COEFFICIENT_ERROR = Family(
    "llm_time_proxy_coefficient_error",
    "gauge",
    "Standard error of the coefficient; 0 if it was given and not learned. Absent while unknown.",
    (*_MODEL, "proxy", "term"),
    "Time as a proxy",
    "experimental",
)

FAMILIES = (
    PROXY_ENERGY,
    PROXY_SCORE,
    PROXY_LIFETIME_SCORE,
    PROXY_SAMPLES,
    PROXY_ERROR,
    PROXY_DRIFT,
    PROXY_DRIFTING,
    PROXY_UNPREDICTED,
    PROXY_COEFFICIENT,
    PROXY_COEFFICIENT_ERROR,
)
"""In the order of the page."""
