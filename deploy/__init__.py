"""What is deployed beside the exporter: rules, dashboards, a chart, examples. Not part of the package."""
