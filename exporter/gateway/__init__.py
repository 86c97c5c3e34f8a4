"""[3] The gateway: a transparent reverse proxy in front of an inference server, which sees its requests exactly."""
