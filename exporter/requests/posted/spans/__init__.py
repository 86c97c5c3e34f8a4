"""OpenTelemetry spans: what they hold (span), which of them are requests (meaning), and which count (nesting)."""
