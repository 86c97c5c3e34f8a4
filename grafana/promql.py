"""Dashboards as a Prometheus sees them: their queries, with Grafana's variables filled in as Grafana would."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Asked:
    """A query as it stands on a dashboard.

    Attributes:
        expr: with variables.
        kind: `panel`, `variable` or `annotation`.
        instant: asked for now alone, and not over time.
        may_be_empty: the panel says itself what it means that there is nothing.
    """

    dashboard: str
    title: str
    expr: str
    kind: str = "panel"
    instant: bool = False
    may_be_empty: bool = False


def panels(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but rows, those of collapsed rows too."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def queries(document: Mapping[str, Any]) -> Iterator[Asked]:
    """What panels and annotations ask."""
    name = document["uid"]
    for panel in panels(document):
        may_be_empty = "noValue" in panel["fieldConfig"]["defaults"]
        for target in panel["targets"]:
            yield Asked(name, panel["title"], target["expr"], "panel", target["instant"], may_be_empty)
    for annotation in document["annotations"]["list"]:
        yield Asked(name, annotation["name"], annotation["expr"], "annotation", may_be_empty=True)


def chosen(document: Mapping[str, Any], interval: str = "1m", length: str = "15m") -> dict[str, str]:
    """A value for every variable: everything where all can be chosen, as on a dashboard that was just opened."""
    values = {"__rate_interval": interval, "__interval": interval, "__range": length}
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            values[variable["name"]] = variable["allValue"]
        elif variable["type"] != "datasource":
            values[variable["name"]] = variable["current"]["value"]
    return values


def filled_in(expr: str, values: Mapping[str, str]) -> str:
    """The expression with its variables replaced. KeyError: there is no such variable."""
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], expr)


def documents(folder: Path) -> list[dict[str, Any]]:
    """The dashboards of a folder."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
