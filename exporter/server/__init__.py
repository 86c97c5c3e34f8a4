"""HTTP: reads snapshots; what is told to us goes into inboxes."""

from exporter.server.application import build
from exporter.server.intake import Intakes
from exporter.server.listening import serve

__all__ = ["Intakes", "build", "serve"]
