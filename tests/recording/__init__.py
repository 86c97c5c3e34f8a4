"""Recordings, and one of the demo: a real model on a real server; `python -m tests.recording` makes it anew."""

from pathlib import Path

DEMO = Path(__file__).parent / "demo.jsonl.gz"
CLIENT_FACTS = DEMO.with_name("demo.clients.jsonl")
