"""[1] Sensors: one backend a file. A source is asked for readings and knows nothing of requests."""
