"""Dashboards as code.

`python -m grafana` writes grafana/dashboards/*.json; `python -m grafana.check URL` asks a Prometheus all their queries.
"""
