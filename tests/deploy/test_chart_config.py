"""The exporter's own check reads what the chart makes of `config`, and of the examples."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy import manifests, schema
from deploy.places import CHART, EXAMPLES
from exporter import config
from exporter.cli.settings import CHECKS
from exporter.config import webfile
from exporter.config.layout import layout
from tests.deploy.chart import CI_VALUES, Object, of_kind, one, values_of

COMPOSE = [file for file in sorted(EXAMPLES.glob("compose/*.yaml")) if file.stem != "prometheus"]
ENVIRONMENT = {"NODE_NAME": "node-1", "POD_NAME": "pod-1", "POD_NAMESPACE": "llm"}


@pytest.fixture(autouse=True)
def in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def configurations(documents: list[Object]) -> Iterator[str]:
    for each in documents:
        if each["kind"] == "ConfigMap" and "config.yaml" in each["data"]:
            yield each["data"]["config.yaml"]


def checked(text: str, folder: Path) -> None:
    file = folder / "config.yaml"
    file.write_text(text)
    config.load(file, CHECKS)


@pytest.mark.parametrize("file", CI_VALUES, ids=lambda file: file.stem)
def test_the_exporter_finds_the_rendered_configuration_good(file: Path, tmp_path: Path) -> None:
    rendered = list(configurations(of_kind("ConfigMap", values_of(file))))
    assert bool(rendered) == (values_of(file)["mode"] != "none")
    for text in rendered:
        checked(text, tmp_path)


@pytest.mark.parametrize("file", sorted(manifests.MANIFESTS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_exporter_finds_the_configuration_of_an_example_good(file: Path, tmp_path: Path) -> None:
    (text,) = configurations([each for each in yaml.safe_load_all(file.read_text()) if each])
    checked(text, tmp_path)


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.stem)
def test_the_exporter_finds_the_configuration_in_a_compose_file_good(file: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(file.read_text())["configs"]["exporter"]["content"]
    checked(content, tmp_path)


def test_the_exporter_finds_the_rendered_web_file_good() -> None:
    secret = one("Secret", values_of(CHART / "ci" / "web-values.yaml"))
    content = secret["stringData"]["web.yaml"].encode()
    mounted = webfile.parse(content, Path("/etc/llm-energy-exporter/web.yaml"))
    assert mounted.tls is not None
    assert list(mounted.users) == ["prometheus"]


def test_the_chart_points_the_exporter_to_where_it_mounts_things() -> None:
    values = values_of(CHART / "ci" / "web-values.yaml")
    (text,) = configurations(of_kind("ConfigMap", values))
    rendered = yaml.safe_load(text)
    pod = one("DaemonSet", values)["spec"]["template"]["spec"]
    mounts = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert rendered["state_dir"] in mounts
    assert str(Path(rendered["web"]["config_file"]).parent) in mounts
    assert rendered["web"]["probes"] == "closed"


def test_every_key_of_the_exporter_is_a_key_of_the_chart() -> None:
    assert schema.configuration()["properties"].keys() == {key.name for key in layout(CHECKS).keys}
