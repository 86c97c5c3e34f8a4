"""Requests: their energy, time and tokens."""

from exporter.metrics.catalogue.family import Family

_MODEL = ("server", "model")

SERVER = Family(
    "llm_server_info",
    "info",
    "An inference server, and what serves on it.",
    ("server", "engine"),
    "Requests",
)
REQUEST_ENERGY = Family(
    "llm_request_energy_joules",
    "histogram",
    "Energy of one request. Under concurrent requests a share of the metered energy, by the attribution policy.",
    (*_MODEL, "method"),
    "Requests",
)
REQUEST_DURATION = Family(
    "llm_request_duration_seconds",
    "histogram",
    "Time from a request's start to its end, queueing excluded where the source can tell.",
    _MODEL,
    "Requests",
)
REQUEST_TIME_TO_FIRST_TOKEN = Family(
    "llm_request_time_to_first_token_seconds",
    "histogram",
    "Time from a request's arrival to its first output token, waiting included where the source can tell.",
    _MODEL,
    "Requests",
)
REQUEST_ENERGY_PER_OUTPUT_TOKEN = Family(
    "llm_request_energy_per_output_token_joules",
    "histogram",
    "Energy of one request over the tokens it generated.",
    (*_MODEL, "method"),
    "Requests",
)
REQUESTS = Family("llm_requests_total", "counter", "Settled requests.", (*_MODEL, "outcome"), "Requests")
TOKENS = Family("llm_tokens_total", "counter", "Tokens of settled requests.", (*_MODEL, "direction"), "Requests")
PHASE_ENERGY = Family(
    "llm_phase_energy_joules_total",
    "counter",
    "Energy of settled requests by phase, where the source tells when the first token came.",
    (*_MODEL, "phase"),
    "Requests",
)
RUNNING_REQUESTS = Family(
    "llm_running_requests",
    "gauge",
    "Requests that run now: by what was told of them (`log`), or as the server itself says (`server`).",
    ("server", "view"),
    "Requests",
)
TENANT_ENERGY = Family(
    "llm_tenant_energy_joules_total",
    "counter",
    "Energy of settled requests by tenant: whom they are billed to.",
    ("server", "tenant"),
    "Requests",
)

FAMILIES = (
    SERVER,
    REQUEST_ENERGY,
    REQUEST_DURATION,
    REQUEST_TIME_TO_FIRST_TOKEN,
    REQUEST_ENERGY_PER_OUTPUT_TOKEN,
    REQUESTS,
    TOKENS,
    PHASE_ENERGY,
    RUNNING_REQUESTS,
    TENANT_ENERGY,
)
"""In the order of the page."""
