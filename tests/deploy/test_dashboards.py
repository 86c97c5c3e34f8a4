"""The dashboards: fresh, understood by Grafana, kept to its conventions, and asking only for what there is."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.__main__ import FOLDER, main
from grafana.board import RESTART_TEXTS
from grafana.boards import BOARDS
from grafana.promql import Asked, chosen, documents, filled_in, panels, queries
from tests.deploy.promql import asked, known_series

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "recording.yml"
DOCUMENTS = documents(FOLDER)
DASHBOARDS = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["uid"])

UNITS = frozenset(
    ["joule", "watt", "watth", "percentunit", "s", "bytes", "none", "short", "ops", "reqps", "massg"],
)
"""Ids of Grafana's units, as far as they are used here."""

THROUGH_RULES = {"llm-energy-fleet", "llm-energy-budgets"}
"""Recorded series have no `instance`: exporters are added up in them."""

TOTALS_AS_THEY_ARE = {"Metered = requests + idle + unattributed + unsettled"}
"""The books balance in totals, exactly; in rates only nearly."""


def _names(document: dict[str, Any]) -> set[str]:
    return {variable["name"] for variable in document["templating"]["list"]}


def _selectors(expr: str) -> Iterator[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []

    def visit(node: object) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(expr), visit)
    yield from found


def _filled(document: dict[str, Any]) -> Iterator[tuple[Asked, str]]:
    values = chosen(document, "4m7s", "13m")
    for one in queries(document):
        yield one, filled_in(one.expr, values)


def _lost(given: object, kept: object, path: str = "") -> Iterator[str]:
    """Keys that did not survive the way through Grafana's types."""
    if isinstance(given, dict):
        for key, value in given.items():
            if value is None:
                continue
            if isinstance(kept, dict) and key in kept:
                yield from _lost(value, kept[key], f"{path}/{key}")
            else:
                yield f"{path}/{key}"
    elif isinstance(given, list):
        for at, value in enumerate(given):
            if isinstance(kept, list) and at < len(kept):
                yield from _lost(value, kept[at], f"{path}/{at}")
            else:
                yield f"{path}/{at}"


def _datasources(node: object) -> Iterator[dict[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "datasource":
                yield value
            else:
                yield from _datasources(value)
    elif isinstance(node, list):
        for value in node:
            yield from _datasources(value)


def _unknown_to_grafana(document: dict[str, Any]) -> list[str]:
    register_default_plugins()
    return list(_lost(document, json.loads(JSONEncoder().encode(Dashboard.from_json(document)))))


def test_the_committed_dashboards_are_those_that_the_code_writes(tmp_path: Path) -> None:
    main(tmp_path)

    written = {file.name: file.read_text() for file in tmp_path.glob("*.json")}
    assert written == {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    assert set(written) == {f"{name}.json" for name in ("overview", "proxy", "requests", "budgets", "quality", "fleet")}


@DASHBOARDS
def test_grafanas_own_types_know_every_key(document: dict[str, Any]) -> None:
    texts = {f"/annotations/list/0/{key}" for key in RESTART_TEXTS}

    assert set(_unknown_to_grafana(document)) == texts


def test_a_misspelt_key_would_be_found() -> None:
    document = copy.deepcopy(DOCUMENTS[0])
    next(panels(document))["options"]["legnd"] = {}

    assert any("legnd" in key for key in _unknown_to_grafana(document))


@DASHBOARDS
def test_a_dashboard_has_what_every_one_has(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"llm-energy-[a-z]{1,29}", document["uid"])
    assert document["id"] is None
    assert document["editable"] is False
    assert document["schemaVersion"] == 39
    assert document["refresh"] == "30s"
    assert document["timezone"] == "browser"
    assert document["graphTooltip"] == 1
    assert document["description"]
    assert "llm-energy" in document["tags"]
    assert "__inputs" not in document
    link = document["links"][0]
    assert (link["type"], link["tags"]) == ("dashboards", ["llm-energy"])
    assert link["includeVars"]
    assert link["keepTime"]


def test_uids_and_titles_are_unique() -> None:
    assert len({document["uid"] for document in DOCUMENTS}) == len(DOCUMENTS) == len(BOARDS)
    assert len({document["title"] for document in DOCUMENTS}) == len(DOCUMENTS)


@DASHBOARDS
def test_the_data_source_is_chosen_and_never_written_down(document: dict[str, Any]) -> None:
    first = document["templating"]["list"][0]
    assert (first["type"], first["name"], first["label"]) == ("datasource", "datasource", "Data source")

    assert {one["uid"] for one in _datasources(document)} == {"${datasource}"}
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels(document))


@DASHBOARDS
def test_job_and_instance_can_be_chosen(document: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in document["templating"]["list"]}
    wanted = ["job"] if document["uid"] in THROUGH_RULES else ["job", "instance"]

    for name in wanted:
        variable = variables[name]
        assert variable["label"] == name.capitalize()
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
    for variable in variables.values():
        if variable["type"] == "query":
            assert variable["refresh"] == 2, variable["name"]
            inside = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert inside, variable["query"]
            promql.parse(filled_in(inside[1], chosen(document)))


@DASHBOARDS
def test_restarts_of_the_exporter_are_marked(document: dict[str, Any]) -> None:
    (annotation,) = document["annotations"]["list"]

    assert "llm_energy_exporter_process_start_time_seconds" in annotation["expr"]


@DASHBOARDS
def test_every_panel_says_what_it_shows_and_in_which_unit(document: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels(document)]
    assert len(set(titles)) == len(titles)
    for panel in panels(document):
        assert panel["title"], panel
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        for override in panel["fieldConfig"]["overrides"]:
            units = [one["value"] for one in override["properties"] if one["id"] == "unit"]
            assert set(units) <= UNITS, panel["title"]


@DASHBOARDS
def test_panels_lie_beside_each_other_and_never_on_each_other(document: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])


@DASHBOARDS
def test_every_query_is_promql_and_asks_for_what_there_is(document: dict[str, Any]) -> None:
    recorded = [rule["record"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    known = known_series(recorded)

    for one, expr in _filled(document):
        for name, _ in asked(expr).series:
            assert name in known or name == "up", f"{one.title}: {name}"


def test_a_series_that_is_not_there_would_be_found() -> None:
    assert "llm_no_such_total" not in known_series([])
    assert asked("sum(rate(llm_no_such_total[5m]))").series[0][0] == "llm_no_such_total"


@DASHBOARDS
def test_every_selector_is_narrowed_down_by_the_choices(document: dict[str, Any]) -> None:
    for one in queries(document):
        for name, braces in re.findall(r"\b((?:up|[a-z_]+:|llm_)[a-z0-9_:]*)\{([^}]*)\}", one.expr):
            assert 'job=~"$job"' in braces, f"{one.title}: {name}"
            if document["uid"] not in THROUGH_RULES:
                assert 'instance=~"$instance"' in braces, f"{one.title}: {name}"


@DASHBOARDS
def test_no_selector_goes_without_labels(document: dict[str, Any]) -> None:
    for one, expr in _filled(document):
        for selector in _selectors(expr):
            assert selector.matchers.matchers, f"{one.title}: {selector.name}"


@DASHBOARDS
def test_rates_follow_the_scrape_interval_and_totals_the_chosen_time(document: dict[str, Any]) -> None:
    for one in queries(document):
        if one.kind == "annotation":
            continue
        windows = set(re.findall(r"\[[^\]]*\]", one.expr))
        assert windows <= {"[$__range]" if one.instant else "[$__rate_interval]", "[$__range]"}, one.title
        assert set(re.findall(r"\brate\([^\[]*(\[[^\]]*\])", one.expr)) <= {"[$__rate_interval]"}, one.title


@DASHBOARDS
def test_counters_are_asked_for_their_growth(document: dict[str, Any]) -> None:
    for one in queries(document):
        if one.title in TOTALS_AS_THEY_ARE:
            continue
        for before in re.findall(r"(\w+)\(\w+_total\{", one.expr):
            assert before in {"rate", "increase"}, one.title
        bare = re.findall(r"(?<![a-z(])\w+_total\{", re.sub(r"(rate|increase)\(\w+_total\{", "", one.expr))
        assert not bare, one.title


@DASHBOARDS
def test_legends_name_labels_that_the_query_keeps(document: dict[str, Any]) -> None:
    for panel in panels(document):
        for target in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            expr = target["expr"]
            grouped = {label for found in re.findall(r"by \(([^)]*)\)", expr) for label in found.split(", ")}
            assert wanted <= grouped or ":" in expr or "rate(" not in expr, (panel["title"], wanted)


@DASHBOARDS
def test_every_variable_in_a_query_or_title_is_one_of_the_dashboards(document: dict[str, Any]) -> None:
    builtin = {"__rate_interval", "__interval", "__range"}
    texts = [one.expr for one in queries(document)] + [panel["title"] for panel in document["panels"]]

    used = {name for text in texts for name in re.findall(r"\$\{?(\w+)", text)}
    assert used <= _names(document) | builtin


@DASHBOARDS
def test_a_scatter_is_one_frame_whose_first_number_is_x(document: dict[str, Any]) -> None:
    for panel in panels(document):
        if panel["type"] == "xychart":
            assert panel["transformations"][0]["id"] == "joinByField"
            assert panel["options"]["mapping"] == "auto"
            assert panel["pluginVersion"].startswith("11.")


@DASHBOARDS
def test_a_heatmap_asks_for_buckets_of_the_histogram(document: dict[str, Any]) -> None:
    for panel in panels(document):
        if panel["type"] == "heatmap":
            (target,) = panel["targets"]
            assert (target["format"], target["legendFormat"]) == ("heatmap", "{{le}}")
            assert "_bucket{" in target["expr"]
            assert panel["options"]["calculate"] is False
