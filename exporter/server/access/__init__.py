"""Who may come in: TLS, clients' certificates, passwords, and a limit; as `web` and the file that it names have it."""

from exporter.server.access.doors import Doors
from exporter.server.access.inforce import InForce

__all__ = ["Doors", "InForce"]
