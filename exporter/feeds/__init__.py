"""[2] Feeds: from where a server's requests are told to what the pipeline is told, one feed a server."""
