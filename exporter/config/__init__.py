"""The configuration: YAML -> frozen values. Unknown keys and wrong values are errors with their path."""

from exporter.config.checks import ReaderCheck, Readers
from exporter.config.loading import load, parse, parse_address
from exporter.config.problems import ConfigErrors

__all__ = ["ConfigErrors", "ReaderCheck", "Readers", "load", "parse", "parse_address"]
