"""[2] The ledger: timeline, slices, watermark. Pure."""
