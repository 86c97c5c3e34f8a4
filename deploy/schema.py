"""values.schema.json: what of it follows from the exporter and from the rules. The rest is written by hand.

The chart's `config` is the exporter's configuration, so its keys are those of the exporter's own table. Values are left
to the exporter's check, since `${NAME}` may stand for any of them.
"""

import json
from typing import Any

import yaml

from deploy.places import CHART, RULES, Written
from exporter.cli.settings import CHECKS
from exporter.config.kinds import Kind, Many, Table, Texts
from exporter.config.layout import layout
from exporter.config.sections import ListOf, Section

SCHEMA = CHART / "values.schema.json"


def written() -> Written:
    """The schema with its two generated definitions."""
    schema = json.loads(SCHEMA.read_text())
    schema["definitions"]["config"] = configuration()
    schema["definitions"]["alertName"] = {"enum": alerts()}
    return {SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"}


def alerts() -> list[str]:
    """The names of all alerts there are, sorted."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return sorted({rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule})


def configuration() -> dict[str, Any]:
    """The exporter's configuration, as far as keys go."""
    return _section(layout(CHECKS))


def _section(section: Section) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": bool(section.rest),
        "properties": {key.name: {"description": key.meaning, **_kind(key.kind)} for key in section.keys},
    }
    required = [key.name for key in section.keys if key.required]
    return schema | ({"required": required} if required else {})


def _kind(kind: Kind | Section | ListOf) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    match kind:
        case Section():
            schema = _section(kind)
        case ListOf(section=section, or_one=True):
            schema = _section(section) | {"type": ["object", "array"], "items": _section(section)}
        case ListOf(section=section):
            schema = {"type": "array", "items": _section(section)}
        case Table():
            schema = {"type": "object"}
        case Texts(names=names):
            schema = {"type": "object", "propertyNames": {"enum": list(names)}}
        case Many():
            schema = {"type": ["array", "string", "number"]}
    return schema
