import json
from typing import Any

import pytest
import yaml

from deploy.places import CHART, RULES, dashboards
from deploy.schema import alerts
from tests.deploy.chart import of_kind, one

CONFIG_MAP_LIMIT_BYTES = 1 << 20


def rules(**values: Any) -> list[dict[str, Any]]:
    spec = one("PrometheusRule", {"prometheusRule": {"enabled": True, **values}})["spec"]
    return [rule for group in spec["groups"] for rule in group["rules"]]


def names(found: list[dict[str, Any]]) -> set[str]:
    return {rule["alert"] for rule in found if "alert" in rule}


def test_the_chart_has_the_rules_of_the_plain_files_unchanged() -> None:
    plain = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    spec = one("PrometheusRule", {"prometheusRule": {"enabled": True}})["spec"]
    assert spec["groups"] == plain


@pytest.mark.parametrize("alert", alerts())
def test_each_alert_can_be_switched_off_by_its_name(alert: str) -> None:
    assert names(rules(alerts={alert: {"enabled": False}})) == set(alerts()) - {alert}


def test_a_group_without_rules_is_left_out() -> None:
    spec = one("PrometheusRule", {"prometheusRule": {"enabled": True, "recording": False}})["spec"]
    assert all(group["rules"] for group in spec["groups"])
    assert not [rule for rule in rules(recording=False) if "record" in rule]


def test_wait_and_severity_of_an_alert_can_be_changed_without_losing_the_rest() -> None:
    (before,) = (rule for rule in rules() if rule.get("alert") == "LLMEnergyIdleWaste")
    changed = rules(
        alerts={"LLMEnergyIdleWaste": {"for": "3h", "severity": "page"}},
        alertLabels={"team": "ml"},
        runbookUrl="https://wiki.example.com/runbooks/",
    )
    (after,) = (rule for rule in changed if rule.get("alert") == "LLMEnergyIdleWaste")
    page = before["annotations"]["runbook_url"].rpartition("/")[2]
    assert after == before | {
        "for": "3h",
        "labels": before["labels"] | {"severity": "page", "team": "ml"},
        "annotations": before["annotations"] | {"runbook_url": f"https://wiki.example.com/runbooks/{page}"},
    }


def test_every_dashboard_is_a_config_map_that_grafanas_sidecar_finds() -> None:
    found = of_kind("ConfigMap", {"mode": "none", "dashboards": {"enabled": True}})
    shown = {name: json.loads(text) for each in found for name, text in each["data"].items()}
    assert shown == {file.name: json.loads(file.read_text()) for file in (CHART / "dashboards").glob("*.json")}
    assert shown
    for each in found:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(json.dumps(each)) < CONFIG_MAP_LIMIT_BYTES


def test_copies_in_the_chart_are_byte_for_byte_the_originals() -> None:
    for original in [*RULES, *dashboards()]:
        folder = CHART / "files" / "rules" if original.suffix == ".yml" else CHART / "dashboards"
        assert (folder / original.name).read_bytes() == original.read_bytes(), "python -m deploy.sync"
