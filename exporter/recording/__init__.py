"""Recordings: a session as the pipeline was told it, in one compressed file; writing and reading them."""
