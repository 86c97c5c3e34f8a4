"""Fake hardware, as for the power sources."""

from tests.power.conftest import fake_library, plug_in

__all__ = ["fake_library", "plug_in"]
