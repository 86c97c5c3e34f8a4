"""Writes the golden files anew."""

from tests.golden import pages

for path, content in pages().items():
    path.write_bytes(content)
