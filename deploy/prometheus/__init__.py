"""Prometheus rules, as a program: `python -m deploy.prometheus` writes recording.yml and alerts.yml beside it."""
