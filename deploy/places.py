"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "llm-energy-exporter"
RULES = [ROOT / "deploy" / "prometheus" / name for name in ("alerts.yml", "recording.yml")]
EXAMPLES = ROOT / "deploy" / "examples"


def dashboards() -> list[Path]:
    """The dashboards there are."""
    return sorted((ROOT / "grafana" / "dashboards").glob("*.json"))


Written = dict[Path, str]
"""Files and what is to stand in them."""
