"""What is generated for the chart and the examples is what is committed: `python -m deploy.sync`."""

import json

import yaml

from deploy import manifests, readme, schema, sync
from deploy.places import CHART, Written
from exporter import __version__


def stale(files: Written) -> list[str]:
    return [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]


def test_schema_readme_and_copies_are_as_they_would_be_written_now() -> None:
    assert stale(sync.written()) == [], "python -m deploy.sync"
    assert sync.strays() == [], "python -m deploy.sync"


def test_plain_manifests_are_as_they_would_be_rendered_now() -> None:
    assert stale(manifests.written()) == [], "python -m deploy.sync"


def test_every_value_is_described_or_leads_to_those_that_are() -> None:
    described = {value.path: value.default for value in readme.values(readme.VALUES.read_text())}

    def undescribed(tree: object, path: str) -> list[str]:
        if path in described:
            return []
        if isinstance(tree, dict) and tree:
            return [each for key, value in tree.items() for each in undescribed(value, f"{path}.{key}".lstrip("."))]
        return [path]

    assert undescribed(yaml.safe_load(readme.VALUES.read_text()), "") == []


def test_the_schema_knows_every_value_and_no_other() -> None:
    known = json.loads(schema.SCHEMA.read_text())
    values = yaml.safe_load(readme.VALUES.read_text())
    assert known["properties"].keys() == values.keys()
    for key, value in values.items():
        here = known["properties"][key]
        here = known["definitions"][here["$ref"].rpartition("/")[2]] if "$ref" in here else here
        if here.get("additionalProperties") is False and key not in (
            "config",
            "resources",
            "livenessProbe",
            "readinessProbe",
        ):
            assert here["properties"].keys() == value.keys(), key


def test_the_chart_is_of_the_programs_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    example = yaml.safe_load((manifests.OWN_CHART / "Chart.yaml").read_text())
    assert example["dependencies"][0]["version"] == chart["version"]
