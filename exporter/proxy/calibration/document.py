"""A JSON document that must say exactly what it is meant to say: every refusal names the place.

Places are written as one would ask for them: `proxies.time.grounds.window.samples`.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.domain.errors import CalibrationError

LONGEST_TEXT = 1000
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A value in a document. `path` is empty for the document itself."""

    value: Any
    path: str = ""

    def refuse(self, problem: str) -> CalibrationError:
        """The error that says what is wrong here."""
        return CalibrationError(self.path, problem)

    def wanted(self, what: str) -> CalibrationError:
        """The error that says what should have stood here."""
        return self.refuse(f"must be {what}, not {_shown(self.value)}")

    def fields(self, required: Iterable[str], optional: Iterable[str] = ()) -> Mapping[str, "Place"]:
        """A mapping of these keys and no others; what is optional may be missing."""
        inside = self.entries()
        missing = [name for name in required if name not in inside]
        if missing:
            raise inside_of(self, missing[0]).refuse("is missing")
        unknown = [name for name in inside if name not in {*required, *optional}]
        if unknown:
            raise inside[unknown[0]].refuse("is not known here")
        return inside

    def entries(self) -> Mapping[str, "Place"]:
        """A mapping of whatever keys."""
        if not isinstance(self.value, dict):
            raise self.wanted("a mapping")
        return {name: Place(value, _join(self.path, name)) for name, value in self.value.items()}

    def items(self, at_most: int) -> Iterator["Place"]:
        """A list."""
        if not isinstance(self.value, list) or len(self.value) > at_most:
            raise self.wanted(f"a list of at most {at_most}")
        return (Place(value, f"{self.path}[{index}]") for index, value in enumerate(self.value))

    def text(self) -> str:
        """Printable text, perhaps empty."""
        fits = isinstance(self.value, str) and self.value.isprintable() and len(self.value) <= LONGEST_TEXT
        if not fits:
            raise self.wanted(f"text in one line of at most {LONGEST_TEXT} characters")
        return str(self.value)

    def name(self) -> str:
        """Text that is not empty."""
        if not self.text().strip():
            raise self.wanted("text that is not empty")
        return self.text()

    def number(self, least: float = -math.inf) -> float:
        """A finite number, at least `least`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wanted("a number")
        if not abs(self.value) <= 1e300 or self.value < least:
            raise self.wanted(f"a finite number{f' of at least {least:g}' if least > -math.inf else ''}")
        return float(self.value)

    def count(self, least: int = 0) -> int:
        """A whole number, at least `least`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value < 2**63:
            raise self.wanted(f"a whole number of at least {least}")
        return self.value


def parse(text: str, what: str) -> Place:
    """The document that the text holds; keys that stand twice and numbers that JSON does not have are refused.

    Raises:
        CalibrationError: it holds none. `what` names it.
    """
    try:
        return Place(json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant))
    except json.JSONDecodeError as error:
        problem = f"is no {what}: no JSON in line {error.lineno}, column {error.colno} ({error.msg})"
        raise CalibrationError("", problem) from None
    except (ValueError, RecursionError) as error:
        raise CalibrationError("", f"is no {what}: {error}") from None


def inside_of(place: Place, name: str) -> Place:
    """Where a key would stand that is not there."""
    return Place(None, _join(place.path, name))


def _join(path: str, name: str) -> str:
    """A key that is odd is shown, rather than letting it break the line or the terminal."""
    plain = name if name.isprintable() and len(name) <= _SHOWN else _shown(name)
    return f"{path}.{plain}" if path else plain


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {_shown(name)} stands twice")
        found[name] = value
    return found


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")
