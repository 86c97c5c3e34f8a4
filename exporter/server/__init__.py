"""HTTP: reads snapshots, changes nothing."""

from exporter.server.application import build
from exporter.server.listening import serve

__all__ = ["build", "serve"]
