"""The source `proxy`: a transparent reverse proxy in front of a server, which tells of the requests that pass."""

from exporter.gateway.gateway import Gateway, open_gateway

__all__ = ["Gateway", "open_gateway"]
