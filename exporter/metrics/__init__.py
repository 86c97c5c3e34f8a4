"""[5] The metric catalogue, each family once; snapshot -> exposition. Pure."""
