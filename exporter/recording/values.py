"""Frozen values as JSON and back, guided by their annotations and strict: what does not fit is an error with its path.

Every field is written, defaults too, because another version may have others. What is missing takes its default, so
that a field which did not exist yet does not make a recording unreadable; what is unknown is an error, because a field
that only a newer version knows may matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

_SCALARS: Mapping[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool,),
    NoneType: (NoneType,),
}


class UnfitError(Exception):
    """A JSON value does not fit a type. `path` says where, such as `servers[0].gpus`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)


def to_json(value: Any) -> Any:
    """A value made of frozen dataclasses, mappings, sequences and scalars, as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    assert value is None or isinstance(value, str | int | float), f"{type(value)} is no value of ours"
    return value


def known(value: Any) -> Any:
    """JSON values, with null for the numbers that JSON does not have (NaN, infinities): they are not known."""
    if isinstance(value, Mapping):
        return {key: known(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [known(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def from_json(kind: Any, value: Any, path: str = "") -> Any:
    """A value of type `kind`, from what `to_json` made of it.

    Args:
        kind: a dataclass, or an annotation of a dataclass's field.
        value: JSON values.
        path: where it stands, for the error.

    Raises:
        UnfitError: it is none.
    """
    if is_dataclass(kind):
        return _dataclass(kind, value, path)
    if isinstance(kind, NewType):
        return from_json(kind.__supertype__, value, path)
    if kind is Any:
        return value
    if kind in _SCALARS:
        return _scalar(kind, value, path)
    return _generic(get_origin(kind), get_args(kind), value, path)


def _generic(origin: Any, arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if origin is Literal:
        return _literal(arguments, value, path)
    if origin in (Union, UnionType):
        return _union(arguments, value, path)
    if origin is tuple:
        return _tuple(arguments, value, path)
    assert origin is Mapping, f"{origin} is no annotation of ours"
    return {key: from_json(arguments[1], one, f"{path}.{key}") for key, one in _object(value, path).items()}


def _dataclass(kind: Any, value: Any, path: str) -> Any:
    given, hints = _object(value, path), _hints(kind)
    unknown = given.keys() - hints.keys()
    if unknown:
        raise UnfitError(_below(path, min(unknown)), "is unknown here: a newer version may have written it")
    missing = [name for name in _required(kind) if name not in given]
    if missing:
        raise UnfitError(_below(path, missing[0]), "is missing")
    return kind(**{name: from_json(hints[name], one, _below(path, name)) for name, one in given.items()})


def _scalar(kind: Any, value: Any, path: str) -> Any:
    if type(value) not in _SCALARS[kind]:
        raise UnfitError(path, f"should be {kind.__name__}, not {_shown(value)}")
    return value


def _literal(allowed: tuple[Any, ...], value: Any, path: str) -> Any:
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise UnfitError(path, f"should be one of {', '.join(map(str, allowed))}, not {_shown(value)}")
    return value


def _union(kinds: Sequence[Any], value: Any, path: str) -> Any:
    for kind in kinds:
        try:
            return from_json(kind, value, path)
        except UnfitError as error:
            unfit = error
    raise unfit


def _tuple(kinds: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise UnfitError(path, f"should be a list, not {_shown(value)}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise UnfitError(path, f"should be {len(kinds)} values, not {len(value)}")
    return tuple(
        from_json(kind, one, f"{path}[{index}]") for index, (kind, one) in enumerate(zip(kinds, value, strict=True))
    )


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnfitError(path, f"should be an object, not {_shown(value)}")
    return value


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    """Its kind only: the value itself may be anything and of any length."""
    return {dict: "an object", list: "a list", str: "a text", NoneType: "null"}.get(type(value), type(value).__name__)


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


@cache
def _required(kind: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING)
