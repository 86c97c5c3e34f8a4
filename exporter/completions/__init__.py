"""Servers with an OpenAI-compatible API, seen from a client: who asks, what streams back, when it came."""
