"""The kinds of values a key may have: what each accepts, how it is read, how a default of it is written."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from exporter.config.problems import Problems, inside, shown, suggestion
from exporter.domain.errors import ConfigError


class UnfitError(Exception):
    """A value is not of its kind. `hint` ends the sentence that says so."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


class Kind(Protocol):
    """A kind of value. `word` names it in the documentation."""

    @property
    def word(self) -> str:
        """What the documentation calls it."""
        ...

    def read(self, value: Any, path: str) -> Any:
        """The value as the settings hold it, or ConfigError."""
        ...

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        ...


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    Attributes:
        allowed: completes "must be ...".
        convert: the value as the settings hold it, or UnfitError.
    """

    word: str
    allowed: str
    convert: Callable[[Any], Any]
    write: Callable[[Any], str] = str

    def read(self, value: Any, path: str) -> Any:
        """The value as the settings hold it, or ConfigError."""
        try:
            return self.convert(value)
        except UnfitError as unfit:
            raise ConfigError(path, f"must be {self.allowed}, not {shown(value)}{unfit.hint}") from None

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        return self.write(value)


@dataclass(frozen=True, slots=True)
class Many:
    """A list; one value alone stands for a list of one.

    Attributes:
        all_word: a word that may stand for the whole list.
        none: what having none means, for the documentation.
        may_be_empty: whether a list of nothing may be given.
    """

    item: Kind
    all_word: str | None = None
    none: str = "none"
    may_be_empty: bool = False

    @property
    def word(self) -> str:
        """What the documentation calls it."""
        return (
            f"{self.item.word}, or a list"
            if self.all_word is None
            else f"`{self.all_word}`, or a list: {self.item.word}"
        )

    def read(self, value: Any, path: str) -> Any:
        """The value as the settings hold it, or ConfigError."""
        if self.all_word is not None and value == self.all_word:
            return value
        if not isinstance(value, list):
            return (self.item.read(value, path),)
        return self._read_list(value, path)

    def _read_list(self, values: list[Any], path: str) -> tuple[Any, ...]:
        problems, items = Problems(), []
        if not values and not self.may_be_empty:
            problems.add(path, "must not be an empty list")
        for index, value in enumerate(values):
            with problems.gathered():
                items.append(self.item.read(value, f"{path}[{index}]"))
                if items[-1] in items[:-1]:
                    problems.add(f"{path}[{index}]", f"{shown(value)} stands twice")
        problems.raise_any()
        return tuple(items)

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        if isinstance(value, str):
            return value
        return ", ".join(self.item.show(item) for item in value) or self.none


@dataclass(frozen=True, slots=True)
class Table:
    """Values by name. `names` is what every name must look like, `example` one that does."""

    item: Kind
    names: re.Pattern[str]
    example: str

    @property
    def word(self) -> str:
        """What the documentation calls it."""
        return f"{self.item.word} by device"

    def read(self, value: Any, path: str) -> Mapping[str, Any]:
        """The value as the settings hold it, or ConfigError."""
        if not isinstance(value, dict):
            raise ConfigError(path, f"must be a mapping such as {{{self.example}: ...}}, not {shown(value)}")
        problems, items = Problems(), {}
        for name, entry in value.items():
            with problems.gathered():
                items[self._name(name, path)] = self.item.read(entry, inside(path, name))
        problems.raise_any()
        return items

    def _name(self, name: Any, path: str) -> str:
        if not isinstance(name, str) or not self.names.fullmatch(name):
            raise ConfigError(inside(path, name), f"is no device's name; they look like {self.example}")
        return name

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        return "none" if not value else str(dict(value))


@dataclass(frozen=True, slots=True)
class Texts:
    """Short texts under names of a closed set."""

    names: tuple[str, ...]

    @property
    def word(self) -> str:
        """What the documentation calls it."""
        return f"text for any of {', '.join(f'`{name}`' for name in self.names)}"

    def read(self, value: Any, path: str) -> Mapping[str, str]:
        """The value as the settings hold it, or ConfigError."""
        if not isinstance(value, dict):
            raise ConfigError(path, f"must be a mapping such as {{{self.names[0]}: ...}}, not {shown(value)}")
        problems, items = Problems(), {}
        for name, entry in value.items():
            with problems.gathered():
                items[self._name(name, path)] = text(at_most=128).read(entry, inside(path, name))
        problems.raise_any()
        return items

    def _name(self, name: Any, path: str) -> str:
        if name not in self.names:
            known = f"; known here are {', '.join(f'`{one}`' for one in self.names)}"
            raise ConfigError(inside(path, name), f"is an unknown key{suggestion(name, self.names) or known}")
        return str(name)

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        return "none" if not value else str(dict(value))


@dataclass(frozen=True, slots=True)
class Ascending:
    """Numbers in ascending order, at most `at_most` of them."""

    item: Kind
    at_most: int

    @property
    def word(self) -> str:
        """What the documentation calls it."""
        return "list of numbers, ascending"

    def read(self, value: Any, path: str) -> tuple[float, ...]:
        """The value as the settings hold it, or ConfigError."""
        if not isinstance(value, list) or not 0 < len(value) <= self.at_most:
            raise ConfigError(path, f"must be a list of 1 to {self.at_most} ascending numbers, not {shown(value)}")
        problems = Problems()
        numbers: list[float] = []
        for index, entry in enumerate(value):
            with problems.gathered():
                number = self.item.read(entry, f"{path}[{index}]")
                if numbers and number <= numbers[-1]:
                    problems.add(f"{path}[{index}]", f"must be more than {numbers[-1]:g} before it, not {number:g}")
                numbers.append(number)
        problems.raise_any()
        return tuple(numbers)

    def show(self, value: Any) -> str:
        """A value of the settings as the file would say it."""
        return ", ".join(f"{number:g}" for number in value)


def choice(known: Iterable[str]) -> Scalar:
    """One word of a closed set."""
    words = tuple(known)

    def convert(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise UnfitError(suggestion(value, words))

    listed = ", ".join(f"`{word}`" for word in words)
    return Scalar(listed, f"one of {listed}" if words else "a known name", _hashable(convert))


def text(allowed: str = "text", at_most: int = 4096) -> Scalar:
    """Printable text in one line."""

    def convert(value: Any) -> str:
        if isinstance(value, bool | int | float):
            raise UnfitError("; put it in quotes")
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > at_most:
            raise UnfitError
        return value

    return Scalar("text", allowed, convert)


def model() -> Scalar:
    """A model's name; `auto` is None."""
    named = text()

    def convert(value: Any) -> str | None:
        name: str = named.convert(value)
        return None if name == "auto" else name

    return Scalar("`auto`, or a name", "`auto` or a name", convert, lambda value: value or "auto")


def number(allowed: str = "a number above 0", *, zero: bool = False) -> Scalar:
    """A finite number above 0, or 0 as well."""

    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnfitError
        return bounded(float(value), 0.0 if zero else math.ulp(0.0), math.inf)

    return Scalar("number", allowed, finite(convert), lambda value: "none" if value is None else f"{value:g}")


def whole(lower: int, upper: int) -> Scalar:
    """A whole number between two others."""

    def convert(value: Any) -> int:
        if type(value) is not int or not lower <= value <= upper:
            raise UnfitError
        return value

    return Scalar("whole number", f"a whole number from {lower} to {upper}", convert)


def share() -> Scalar:
    """A share of a whole: between 0 and 1, neither of them."""

    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < 1.0:
            raise UnfitError
        return float(value)

    return Scalar("share", "a share between 0 and 1, such as 0.99", convert, lambda value: f"{value:g}")


def at_least(least: float) -> Scalar:
    """A finite number from `least` on."""

    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnfitError
        return bounded(float(value), least, math.inf)

    return Scalar("number", f"a number of at least {least:g}", finite(convert), lambda value: f"{value:g}")


def truth() -> Scalar:
    """Yes or no."""

    def convert(value: Any) -> bool:
        if type(value) is not bool:
            raise UnfitError
        return value

    return Scalar("`true` or `false`", "`true` or `false`", convert, lambda value: str(value).lower())


def url() -> Scalar:
    """Where something answers over HTTP."""
    plain = text()

    def convert(value: Any) -> str:
        named: str = plain.convert(value)
        try:
            parts = urlsplit(named)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or " " in named:
            raise UnfitError
        return named

    return Scalar("URL", "an http:// or https:// URL", convert, lambda value: value or "none")


def gpu() -> Scalar:
    """An index, a UUID or a PCI bus id, as text."""

    def convert(value: Any) -> str:
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return str(value)
        raise UnfitError

    return Scalar("index, UUID or PCI bus id", "a GPU's index, UUID or PCI bus id", finite(convert))


def timezone() -> Scalar:
    """An IANA name; None is this machine's own."""

    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitError
        try:
            return ZoneInfo(value).key
        except (KeyError, ValueError, OSError):
            raise UnfitError("; is it in this machine's time zone database?") from None

    allowed = "a time zone's IANA name, such as Europe/Berlin or UTC"
    return Scalar("time zone", allowed, convert, lambda value: value or "this machine's")


def bounded(value: float, lower: float, upper: float) -> float:
    """A finite value between two others, or UnfitError."""
    if not lower <= value <= upper or math.isinf(value):
        raise UnfitError
    return value


def _hashable(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A list or mapping where a word was due is wrong, not a TypeError."""

    def checked(value: Any) -> Any:
        if isinstance(value, list | dict):
            raise UnfitError
        return convert(value)

    return checked


def finite(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An integer too large for a double, or to be written at all, is wrong, not an OverflowError."""

    def checked(value: Any) -> Any:
        try:
            return convert(value)
        except OverflowError:
            raise UnfitError from None

    return checked
