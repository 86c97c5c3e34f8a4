"""A MutatingAdmissionPolicy at work: its CEL evaluated, its JSON patch applied.

What an API server does, with another CEL and without its type checker. Two of that one's rules are checked here: an
object's type is named by its path, and maps and lists hold one type.
"""

import copy
import re
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import json_to_cel

Pod = dict[str, Any]

_TYPE = re.compile(r"\b(Object(?:\.\w+)+|JSONPatch)\{")
_FLAT = "__"  # the evaluator cannot tell a.b from a where both are types


def admitted(pod: Pod, policy: dict[str, Any]) -> Pod:
    """The pod as the policy leaves it."""
    spec = policy["spec"]
    wanted = spec["matchConstraints"]["objectSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    if not wanted or not all(_evaluate(each["expression"], pod, {}) for each in spec["matchConditions"]):
        return pod
    variables = {each["name"]: _evaluate(each["expression"], pod, {}) for each in spec["variables"]}
    changed = copy.deepcopy(pod)
    for mutation in spec["mutations"]:
        assert mutation["patchType"] == "JSONPatch"
        for patch in _evaluate(mutation["jsonPatch"]["expression"], pod, variables):
            _add(changed, patch)
    return changed


def _evaluate(expression: str, pod: Pod, variables: dict[str, Any]) -> Any:
    types = {name: _message(name) for name in _TYPE.findall(expression)}
    flat = _TYPE.sub(lambda found: f"{found[1].replace('.', _FLAT)}{{", expression)
    environment = celpy.Environment(annotations={name.replace(".", _FLAT): kind for name, kind in types.items()})
    context = {"object": json_to_cel(pod), "variables": celtypes.MapType(_keys(variables))}
    return environment.program(environment.compile(flat)).evaluate(context)


def _keys(variables: dict[str, Any]) -> dict[celtypes.Value, celtypes.Value]:
    return {celtypes.StringType(name): value for name, value in variables.items()}


def _message(name: str) -> type[celtypes.MessageType]:
    return type(name, (celtypes.MessageType,), {})


def _add(pod: Pod, patch: Any) -> None:
    assert patch["op"] == "add"
    steps = [step.replace("~1", "/").replace("~0", "~") for step in str(patch["path"]).split("/")[1:]]
    target: Any = pod
    for step in steps[:-1]:
        target = target[step]
    value = _plain(patch["value"], None)
    if isinstance(target, list):
        assert steps[-1] == "-"
        target.append(value)
    else:
        target[steps[-1]] = value


def _plain(value: Any, path: str | None) -> Any:
    """A CEL value as JSON; `path`: the type that an object has to have here, None where it may be any."""
    if isinstance(value, celtypes.MessageType):
        name = type(value).__name__
        assert path in (None, name), f"an object {name} at {path}"
        fields = {str(key): each for key, each in value.items()}
        return {key: _plain(each, f"{name}.{key}") for key, each in fields.items()}
    if isinstance(value, celtypes.MapType):
        assert all(isinstance(each, celtypes.StringType) for each in value.values())
        return {str(key): str(each) for key, each in value.items()}
    if isinstance(value, list):
        assert len({type(each).__name__ for each in value}) <= 1, f"a list of several types at {path}"
        return [_plain(each, path) for each in value]
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    if isinstance(value, celtypes.IntType):
        return int(value)
    assert isinstance(value, celtypes.StringType), f"{value!r} at {path}"
    return str(value)
