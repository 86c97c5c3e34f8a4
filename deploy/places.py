"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "llm-energy-exporter"
RULES = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "grafana" / "dashboards"
EXAMPLES = ROOT / "deploy" / "examples"

Written = dict[Path, str]
"""Files and what is to stand in them."""
