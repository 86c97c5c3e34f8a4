"""Rules, their stories, their runbooks: all by Prometheus' own tools.

`PROMTOOL` and `AMTOOL` may name others than those installed; `make rules` does so for a newer Prometheus.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus.__main__ import rule_files
from deploy.prometheus.rules import RUNBOOKS, kebab
from tests.deploy.promql import asked, known_series, level_of, unknown_in

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
STORIES = Path(__file__).parent / "rules"
RUNBOOK_FILES = ROOT / "docs" / "runbooks"
ALERTMANAGER = RULES / "alertmanager-example.yml"


def _rules(file: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((RULES / file).read_text())["groups"] for rule in group["rules"]]


RECORDED = [rule["record"] for rule in _rules("recording.yml")]
ALERTS = _rules("alerts.yml")
NAMES = sorted({alert["alert"] for alert in ALERTS})
EXPRESSIONS = [rule["expr"] for file in ("recording.yml", "alerts.yml") for rule in _rules(file)]
KNOWN = known_series(RECORDED)


def _runbook_queries() -> Iterator[tuple[str, str]]:
    for file in sorted(RUNBOOK_FILES.glob("*.md")):
        for block in re.findall(r"```promql\n(.*?)```", file.read_text(), re.DOTALL):
            yield from ((file.name, line) for line in block.splitlines() if line)


def _program(name: str) -> str:
    program = os.environ.get(name.upper()) or shutil.which(name)
    if program is not None:
        return program
    why = f"{name} is not installed: see .ci/system-packages"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def promtool() -> str:
    return _program("promtool")


@pytest.fixture(scope="module")
def amtool() -> str:
    return _program("amtool")


def _said(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["recording.yml", "alerts.yml"])
def test_the_committed_file_is_the_generated_one(name: str) -> None:
    assert (RULES / name).read_text() == rule_files()[name], "run: python -m deploy.prometheus"


def test_promtool_finds_no_fault_with_any_rule(promtool: str) -> None:
    files = [RULES / "recording.yml", RULES / "alerts.yml"]
    assert _said(promtool, "check", "rules", "--lint=all", "--lint-fatal", *files)[0] == 0


def test_every_story_goes_as_it_is_told(promtool: str) -> None:
    """One process a file, as many at once as there are cores."""
    files = sorted(STORIES.glob("*.yml"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(lambda file: _said(promtool, "test", "rules", file), files))
    assert [text for status, text in told if status] == []
    assert len(files) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_a_story_in_which_it_fires_and_one_in_which_it_is_silent(name: str) -> None:
    stories = yaml.safe_load((STORIES / f"{kebab(name)}.yml").read_text())["tests"]
    kinds = {story["name"].split(":")[0] for story in stories}
    assert kinds == {"fires", "silent"}
    for story in stories:
        [test] = story["promql_expr_test"]
        assert f'ALERTS{{alertname="{name}", alertstate="firing"' in test["expr"]
        assert bool(test["exp_samples"]) == story["name"].startswith("fires"), story["name"]


def test_each_burn_rate_fires_in_some_story() -> None:
    text = (STORIES / f"{kebab('LLMEnergyRequestObjectiveBurn')}.yml").read_text()
    windows = {alert["labels"]["long_window"] for alert in ALERTS if "long_window" in alert["labels"]}
    assert windows == {"1h", "6h", "1d", "3d"}
    assert all(
        f'count(ALERTS{{alertname="LLMEnergyRequestObjectiveBurn", alertstate="firing", long_window="{window}"' in text
        for window in windows
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_rule_asks_for_nothing_that_the_exporter_does_not_have(expression: str) -> None:
    assert unknown_in(expression, KNOWN) == []


@pytest.mark.parametrize(("file", "query"), list(_runbook_queries()))
def test_a_runbook_asks_for_nothing_that_the_exporter_does_not_have(file: str, query: str) -> None:
    assert unknown_in(query, KNOWN) == [], file


@pytest.mark.parametrize("file", sorted(RUNBOOK_FILES.glob("*.md")), ids=lambda file: file.name)
def test_metrics_in_a_runbooks_text_exist(file: Path) -> None:
    prose = re.sub(r"```promql.*?```", "", file.read_text(), flags=re.DOTALL)
    named = re.findall(r"`((?:[a-z_]+:)?llm_[a-z0-9_:]+)(?:\{[^`]*)?`", prose)
    assert [name for name in named if name not in KNOWN and f"{name}_bucket" not in KNOWN] == []


def test_nothing_unknown_goes_unnoticed() -> None:
    """The checks above can fail."""
    assert unknown_in("rate(llm_watts_total[5m])", KNOWN) == ["no series llm_watts_total"]
    assert unknown_in('llm_requests_total{colour="red"}', KNOWN) == ["llm_requests_total has no label colour"]
    assert unknown_in("sum by (colour) (llm_requests_total)", KNOWN) == ["no label colour"]
    assert unknown_in('server_view:llm_running_requests:sum{model="m"}', KNOWN) != []
    with pytest.raises(ValueError, match="parenthesis"):
        asked("sum(rate(llm_requests_total[5m])")


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_rule_is_named_by_level_metric_and_operations(name: str) -> None:
    level, metric, operations = name.split(":")
    words = {word for label in level_of(name) for word in label.split("_")} | {"instance"}
    assert set(level.split("_")) <= words
    assert metric.startswith("llm_")
    assert not metric.endswith("_total")
    assert re.fullmatch(r"(ratio_)?(rate|increase)\d+[mhd]|ratio|sum|avg|max|count", operations)


@pytest.mark.parametrize("rule", _rules("recording.yml"), ids=lambda rule: str(rule["record"]))
def test_what_is_recorded_of_the_exporters_series_is_added_up_over_exporters(rule: dict[str, Any]) -> None:
    """All but one family, which alerts about single machines stand on."""
    raw = [name for name, _ in asked(rule["expr"]).series if ":" not in name]
    alone = rule["record"].startswith("instance_")
    assert not raw or alone or "without (instance, pod, node" in rule["expr"]
    assert [name for name in RECORDED if name.startswith("instance_")] == [
        "instance_kind_share:llm_energy_joules:rate5m"
    ]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    notes = alert["annotations"]
    assert re.fullmatch(r"LLMEnergy([A-Z][a-z]+)+", alert["alert"])
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["for"]
    assert len(notes["summary"]) < 120
    assert len(notes["description"]) > len(notes["summary"])
    assert notes["runbook_url"] == f"{RUNBOOKS}/{kebab(alert['alert'])}.md"
    assert (RUNBOOK_FILES / f"{kebab(alert['alert'])}.md").is_file()


def test_there_is_a_runbook_for_each_alert_and_no_other() -> None:
    assert {file.name for file in RUNBOOK_FILES.glob("*.md")} == {f"{kebab(name)}.md" for name in NAMES}


@pytest.mark.parametrize("file", sorted(RUNBOOK_FILES.glob("*.md")), ids=lambda file: file.name)
def test_a_runbook_has_its_four_parts_and_no_dead_link(file: Path) -> None:
    text = file.read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert kebab(text.splitlines()[0].removeprefix("# ")) == file.stem
    links = re.findall(r"\]\(([^)#]+)", text)
    assert [link for link in links if not (file.parent / link).exists()] == []


def test_annotations_are_whole_sentences_when_an_alert_fires(promtool: str, tmp_path: Path) -> None:
    """Promtool is told to expect that nothing fires, and then shows what does, with its annotations written out."""
    for name in NAMES:
        _expect_nothing(name, tmp_path)
    files = sorted(tmp_path.glob("*.yml"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        shown = "".join(pool.map(lambda file: _said(promtool, "test", "rules", file)[1], files))
    annotations = re.findall(r"Annotations:(\{.*\})", shown)
    assert len(annotations) >= len(NAMES)
    assert [text for text in annotations if "error expanding" in text or "no value" in text or "{{" in text] == []
    assert [text for text in annotations if re.search(r"  |of ,|server ,| on [,.\"]", text)] == []


def _expect_nothing(name: str, folder: Path) -> None:
    """The shortest story in which this alert fires, told wrongly."""
    content = yaml.safe_load((STORIES / f"{kebab(name)}.yml").read_text())
    story = min((one for one in content["tests"] if one["name"].startswith("fires")), key=_minutes)
    [test] = story.pop("promql_expr_test")
    story["alert_rule_test"] = [{"alertname": name, "eval_time": test["eval_time"], "exp_alerts": []}]
    rules = [str((STORIES / file).resolve()) for file in content["rule_files"]]
    (folder / f"{kebab(name)}.yml").write_text(yaml.safe_dump({**content, "rule_files": rules, "tests": [story]}))


def _minutes(story: dict[str, Any]) -> int:
    time = story["promql_expr_test"][0]["eval_time"]
    return int(time[:-1]) * {"m": 1, "h": 60}[time[-1]]


def test_amtool_finds_no_fault_with_the_example(amtool: str) -> None:
    status, text = _said(amtool, "check-config", ALERTMANAGER)
    assert status == 0, text


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_reaches_whom_its_severity_means(alert: dict[str, Any], amtool: str) -> None:
    labels = [f"{name}={value}" for name, value in {"alertname": alert["alert"], **alert["labels"]}.items()]
    status, text = _said(amtool, "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels)
    assert (status, text.splitlines()[0]) == (
        0,
        {"critical": "pager", "warning": "tickets", "info": "chat"}[alert["labels"]["severity"]],
    )


def test_what_the_example_silences_is_told_by_another_alert() -> None:
    inhibited = yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]
    matchers = [one for rule in inhibited for side in ("source_matchers", "target_matchers") for one in rule[side]]
    patterns = [match[1] for one in matchers if (match := re.fullmatch(r'alertname =~? "(.*)"', one))]
    assert len(patterns) == 2 * len(inhibited)
    for pattern in patterns:
        stem, _, choices = pattern.rstrip(")").partition("(")
        assert {f"{stem}{choice}" for choice in choices.split("|")} <= set(NAMES)
