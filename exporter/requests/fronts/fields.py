"""Fields of JSON objects by name: paths, numbers, times, lengths and filters, from options to functions.

Options are checked here once, when a reader is built; a wrong one is a ConfigError with its path. What comes out are
small functions from an object to a value. They never raise: a value that is missing or of the wrong kind is None.
"""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from math import isfinite
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.lines import Line
from exporter.requests.parts.stamps import Stamp, format_stamps, iso_stamps

Record = dict[str, Any]
Getter = Callable[[Record], Any]
Check = Callable[[Record], bool]
Times = Callable[[Record, Line], Stamp | None]
Length = Callable[[Record], float | None]

MISSING = object()
LONGEST_TEXT = 256
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def check_known(mapping: Mapping[str, Any], allowed: tuple[str, ...], path: str) -> None:
    """Refuse keys that are not allowed."""
    for key in mapping:
        if key not in allowed:
            raise ConfigError(f"{path}.{key}", f"unknown; allowed are {', '.join(allowed)}")


def as_mapping(value: Any, path: str) -> Mapping[str, Any]:
    """The value, where it is a mapping by text."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(path, "must be a mapping with names as keys")
    return value


def field_spec(value: Any, allowed: tuple[str, ...], path: str) -> Mapping[str, Any]:
    """A field as a mapping: a bare string is its path."""
    spec = {"path": value} if isinstance(value, str) else as_mapping(value, path)
    check_known(spec, allowed, path)
    if "path" not in spec:
        raise ConfigError(f"{path}.path", "missing: say which key holds this")
    return spec


def _unit(spec: Mapping[str, Any], path: str) -> float:
    if spec.get("unit") not in _UNITS:
        raise ConfigError(f"{path}.unit", f"must be one of {', '.join(_UNITS)}; got {spec.get('unit')!r}")
    return _UNITS[spec["unit"]]


def _precision(spec: Mapping[str, Any], path: str) -> float | None:
    precision = spec.get("precision")
    if precision is None:
        return None
    if type(precision) not in (int, float) or not 0 <= precision <= 3600:
        raise ConfigError(f"{path}.precision", f"must be seconds between 0 and 3600; got {precision!r}")
    return float(precision)


# Paths


def compile_path(path: Any, where: str) -> Getter:
    """A path as a function: `a`, `a.b`, `a|b`. It returns MISSING where the object has no such key."""
    if not isinstance(path, str) or not path:
        raise ConfigError(where, "must be a key of the log's objects, as text")
    choices = [_one_path(choice) for choice in path.split("|")]
    if len(choices) == 1:
        return choices[0]
    return lambda record: next((found for get in choices if (found := get(record)) is not MISSING), MISSING)


def _one_path(path: str) -> Getter:
    parts = path.split(".")
    if len(parts) == 1:
        return lambda record: record.get(path, MISSING)

    def walk(record: Record) -> Any:
        found: Any = record.get(path, MISSING)  # a key may itself hold dots
        if found is not MISSING:
            return found
        found = record
        for part in parts:
            found = found.get(part, MISSING) if isinstance(found, dict) else MISSING
        return found

    return walk


def nothing(_record: Record) -> Any:
    """The path of a field that is not mapped."""
    return MISSING


# Values


def number_of(value: Any) -> float | None:
    """A finite number, from a number or its text; else None."""
    kind = type(value)
    if kind is float or (kind is int and abs(value) < 1 << 64):
        return float(value) if isfinite(value) else None
    # HAProxy puts a plus before what it logged too early (`option logasap`): that is no duration yet.
    return _number_in(value) if kind is str and len(value) <= LONGEST_TEXT and value[:1] != "+" else None


def _number_in(text: str) -> float | None:
    """A number as text. nginx lists what each server took that was tried (`0.010, 0.250 : -`): their sum."""
    parts = [part for part in text.replace(":", ",").replace(" ", "").split(",") if part != "-"]
    try:
        total = sum(float(part) for part in parts)
    except ValueError:
        return None
    return total if parts and isfinite(total) else None


# Times


def compile_times(value: Any, path: str, zone: tzinfo | None) -> Times:
    """A moment of the wall clock: a number since 1970 with a unit, or text with a format."""
    spec = field_spec(value, ("path", "unit", "format", "precision"), path)
    if "unit" in spec and "format" in spec:
        raise ConfigError(path, "has both unit and format: unit is for numbers, format for text")
    get, precision = compile_path(spec["path"], f"{path}.path"), _precision(spec, path)
    if "unit" in spec:
        return _epoch_times(get, _unit(spec, path), precision)
    form = spec.get("format", "rfc3339")
    if form == "rfc3339":
        return _iso_or_epoch_times(get, zone, precision)
    return _text_times(get, form, zone, f"{path}.format")


def _epoch_times(get: Getter, unit: float, precision: float | None) -> Times:
    def read(record: Record, _line: Line) -> Stamp | None:
        value = get(record)
        number = number_of(value)
        if number is None:
            return None
        return Stamp(number * unit, unit * _digits(value) if precision is None else precision)

    return read


def _digits(value: Any) -> float:
    """How fine a number was written, in its own unit. A float forgot its zeros: taken as thousandths."""
    if isinstance(value, str):
        return float(10.0 ** -min(len(value.partition(".")[2]), 9))
    return 0.001 if isinstance(value, float) else 1.0


def _iso_or_epoch_times(get: Getter, zone: tzinfo | None, precision: float | None) -> Times:
    stamps, epochs = iso_stamps(zone), _epoch_times(get, 1.0, precision)

    def read(record: Record, line: Line) -> Stamp | None:
        value = get(record)
        stamp = stamps.read(value, line.not_after) if isinstance(value, str) else None
        return stamp or epochs(record, line)

    return read


def _text_times(get: Getter, form: Any, zone: tzinfo | None, path: str) -> Times:
    try:
        parse = format_stamps(form, zone)
    except (TypeError, ValueError) as error:
        raise ConfigError(path, f"must be rfc3339 or a strptime format with a full date; got {form!r}") from error

    def read(record: Record, line: Line) -> Stamp | None:
        value = get(record)
        return parse(value, line.not_after) if isinstance(value, str) else None

    return read


def compile_length(value: Any, path: str) -> tuple[Length, float]:
    """A length of time, and its precision."""
    spec = field_spec(value, ("path", "unit", "precision"), path)
    get, unit, precision = compile_path(spec["path"], f"{path}.path"), _unit(spec, path), _precision(spec, path)

    def read(record: Record) -> float | None:
        number = number_of(get(record))
        return None if number is None else number * unit

    return read, min(unit, 0.001) if precision is None else precision


# Filters


def compile_checks(value: Any, path: str) -> list[Check]:
    """Filters by path: a value, a list of values, or `prefix`, `suffix` or `word` of a text."""
    return [_check(compile_path(key, path), wanted, f"{path}.{key}") for key, wanted in as_mapping(value, path).items()]


def _check(get: Getter, wanted: Any, path: str) -> Check:
    if not isinstance(wanted, Mapping):
        values = frozenset(scalars_of(wanted, path))
        return lambda record: isinstance(found := get(record), str | int | float | None) and found in values
    check_known(as_mapping(wanted, path), ("prefix", "suffix", "word"), path)
    if len(wanted) != 1:
        raise ConfigError(path, "must be a value, a list of values, or one of prefix, suffix, word")
    kind, texts = next(iter(wanted.items()))
    return _text_check(get, kind, tuple(_texts(texts, f"{path}.{kind}")))


def _text_check(get: Getter, kind: str, texts: tuple[str, ...]) -> Check:
    if kind == "prefix":
        return lambda record: isinstance(found := get(record), str) and found.startswith(texts)
    if kind == "suffix":  # of a path, whatever is asked of it
        return lambda record: isinstance(found := get(record), str) and found.partition("?")[0].endswith(texts)
    words = frozenset(texts)
    return lambda record: isinstance(found := get(record), str) and not words.isdisjoint(found.split(","))


def scalars_of(value: Any, path: str) -> list[Any]:
    """A value or a list of values, as a list."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float | None) for one in values):
        raise ConfigError(path, "must be a value or a list of values: text, number, true, false or null")
    return values


def _texts(value: Any, path: str) -> list[str]:
    values = scalars_of(value, path)
    if not values or not all(isinstance(one, str) and one for one in values):
        raise ConfigError(path, "must be a text or a list of texts, none of them empty")
    return values
