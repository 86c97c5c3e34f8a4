"""Inference servers' own logs: one server a file."""
