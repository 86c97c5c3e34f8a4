"""Programs that accounts are asked of."""

from tests.e2e.conftest import prometheus_program, promtool

__all__ = ["prometheus_program", "promtool"]
