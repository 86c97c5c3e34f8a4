"""Objects of the Prometheus operator against the models of its CRDs. Unlike the models, unknown fields are refused."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import cloudcoil.models.prometheus_operator.v1 as operator
import jsonschema

KINDS: dict[str, Any] = {
    "PodMonitor": operator.PodMonitor,
    "ServiceMonitor": operator.ServiceMonitor,
    "PrometheusRule": operator.PrometheusRule,
}


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = KINDS[kind].model_json_schema(by_alias=True)
    return jsonschema.Draft202012Validator(_closed(schema))


def _closed(schema: Any) -> Any:
    """The same schema, its objects open only where it says so itself."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {"additionalProperties": False} if "properties" in schema else {}
    return shut | {key: _closed(value) for key, value in schema.items()}


def problems(document: dict[str, Any]) -> list[str]:
    """What is wrong with an object, each with its path."""
    found = _leaves(_validator(document["kind"]).iter_errors(document))
    return [f"{'/'.join(str(step) for step in error.absolute_path)}: {error.message}" for error in found]


def _leaves(errors: Iterable[jsonschema.ValidationError]) -> Iterator[jsonschema.ValidationError]:
    """Of alternatives only those that can have been meant: an optional field is a choice of null and the real one."""
    for error in errors:
        if error.context:
            yield from _leaves(each for each in error.context if each.validator_value != "null")
        else:
            yield error
