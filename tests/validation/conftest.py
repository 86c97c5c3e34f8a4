"""The fake NVML, compiled once."""

from tests.power.conftest import fake_library, plug_in

__all__ = ["fake_library", "plug_in"]
