"""[4] The time proxy: predictions of a request's energy from what needs no power meter, and how good they are. Pure."""
