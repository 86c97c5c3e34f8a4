"""`python -m deploy.prometheus [FOLDER]` writes the rule files; without a folder, those that are committed."""

import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.prometheus import alerts, recording
from deploy.prometheus.budgets import budget_alerts, budget_recordings
from deploy.prometheus.rules import INTERVAL_SECONDS, rule_file


def rule_files(interval_seconds: int = INTERVAL_SECONDS) -> Mapping[str, str]:
    """Each file's content by its name."""
    recorded = (*recording.recording_groups(interval_seconds), *budget_recordings(interval_seconds))
    alerting = (*budget_alerts(interval_seconds), *alerts.alert_groups())
    return {
        "recording.yml": rule_file(recorded, interval_seconds, recording.HEAD),
        "alerts.yml": rule_file(alerting, interval_seconds, alerts.HEAD),
    }


def main(folder: Path) -> None:
    """Write them all."""
    for name, content in rule_files().items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
