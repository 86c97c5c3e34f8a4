"""The chart, rendered by Helm's own library, and the values that it is rendered with."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

from deploy.places import CHART

CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))

Object = dict[str, Any]


def values_of(file: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(file.read_text())
    return values


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(str(CHART))


def texts(values: Mapping[str, Any], name: str = "energy", namespace: str = "llm") -> dict[str, str]:
    """Each template's text by its path below `templates/`."""
    files = _chart().render(dict(values), name=name, namespace=namespace)
    return {path.partition("/templates/")[2]: text for path, text in files.items()}


def objects(values: Mapping[str, Any], **release: str) -> list[Object]:
    """Every object that is rendered."""
    rendered = texts(values, **release)
    files = (text for path, text in rendered.items() if path != "NOTES.txt")
    return [document for text in files for document in yaml.safe_load_all(text) if document]


def of_kind(kind: str, values: Mapping[str, Any]) -> list[Object]:
    return [each for each in objects(values) if each["kind"] == kind]


def one(kind: str, values: Mapping[str, Any]) -> Object:
    (only,) = of_kind(kind, values)
    return only


def pod_of(each: Object) -> Object | None:
    """The pod's specification in an object that runs one."""
    if each["kind"] == "Pod":
        return dict(each["spec"])
    template = each.get("spec", {}).get("template") if each["kind"] in ("DaemonSet", "Deployment") else None
    return dict(template["spec"]) if template else None


def containers_of(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def named(container: str, pod: Object) -> Object:
    (only,) = (each for each in containers_of(pod) if each["name"] == container)
    return only
