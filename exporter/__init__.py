"""llm-energy-exporter: joules per LLM request, measured."""

__version__ = "0.1.0"
