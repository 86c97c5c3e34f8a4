"""Programs that benchmarks ask."""

from tests.e2e.conftest import prometheus_program, promtool

__all__ = ["prometheus_program", "promtool"]
