"""Sections: tables of keys that are read into one frozen value, and from which the documentation is written.

A key's default is its field's default in exporter/domain/settings.py and stands nowhere else. A key without a value
(`power:`) means its default.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.config.kinds import Kind
from exporter.config.problems import Problems, inside, shown, suggestion
from exporter.domain.errors import ConfigError

Check = Callable[[Any], Iterable[ConfigError]]
"""Looks at a section that was read and says, with paths relative to it, what does not go together."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section. `field` is its name in the settings, where that differs."""

    name: str
    kind: "Kind | Section | ListOf"
    meaning: str
    field: str = ""
    required: bool = False

    @property
    def target(self) -> str:
        """Its name in the settings."""
        return self.field or self.name


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of known keys.

    Attributes:
        builds: the dataclass that it is read into.
        rest: the field that takes every other key as it stands; empty where there must be none.
        checks: what must hold between its values.
    """

    builds: type[Any]
    keys: Sequence[Key]
    rest: str = ""
    checks: Sequence[Check] = ()

    def read(self, value: Any, path: str) -> Any:
        """The section as a value of `builds`, or ConfigError with all that is wrong in it."""
        if not isinstance(value, dict):
            raise ConfigError(path, f"must be a mapping with keys {self._names()}, not {shown(value)}")
        problems = Problems()
        fields = self._known(value, path, problems)
        fields |= self._others(value, path, problems)
        problems.raise_any()
        built = self.builds(**fields)
        _check(self.checks, built, path)
        return built

    def _known(self, value: Mapping[Any, Any], path: str, problems: Problems) -> dict[str, Any]:
        fields = {}
        for key in self.keys:
            given = value.get(key.name)
            if given is not None:
                with problems.gathered():
                    fields[key.target] = key.kind.read(given, inside(path, key.name))
            elif key.required:
                problems.add(inside(path, key.name), "is missing")
        return fields

    def _others(self, value: Mapping[Any, Any], path: str, problems: Problems) -> dict[str, Any]:
        names = [key.name for key in self.keys]
        others = {name: entry for name, entry in value.items() if name not in names}
        complete = all(value.get(key.name) is not None for key in self.keys if key.required)
        if self.rest and complete and all(isinstance(name, str) for name in others):
            return {self.rest: others}
        for name in others:
            problems.add(inside(path, name), self._refusal(name, names))
        return {}

    def _refusal(self, name: Any, names: Sequence[str]) -> str:
        return f"is an unknown key{suggestion(name, names) or f'; known here are {self._names()}'}"

    def _names(self) -> str:
        return ", ".join(f"`{key.name}`" for key in self.keys)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of sections. `or_one`: a section by itself is a list of one."""

    section: Section
    or_one: bool = False

    def read(self, value: Any, path: str) -> tuple[Any, ...]:
        """Each of them, or ConfigError with all that is wrong in any."""
        if self.or_one and isinstance(value, dict):
            return (self.section.read(value, path),)
        if self.or_one and not value:
            raise ConfigError(path, f"must be a mapping, or a list of mappings, not {shown(value)}")
        if not isinstance(value, list):
            raise ConfigError(path, f"must be a list, each entry after a `- `, not {shown(value)}")
        problems, items = Problems(), []
        for index, entry in enumerate(value):
            with problems.gathered():
                items.append(self.section.read(entry, f"{path}[{index}]"))
        problems.raise_any()
        return tuple(items)


def _check(checks: Iterable[Check], built: Any, path: str) -> None:
    problems = Problems()
    for check in checks:
        for error in check(built):
            problems.note(error, path)
    problems.raise_any()


@dataclass(frozen=True, slots=True)
class Row:
    """One key as the documentation lists it."""

    path: str
    word: str
    default: str
    meaning: str


def rows(section: Section, path: str = "") -> Iterator[Row]:
    """Every key below a section, depth first."""
    for key in section.keys:
        here = inside(path, key.name)
        match key.kind:
            case Section() as below:
                yield Row(here, "section", "", key.meaning)
                yield from rows(below, here)
            case ListOf(section=below, or_one=True):
                yield Row(here, "section, or list of them", "required", key.meaning)
                yield from rows(below, here)
            case ListOf(section=below):
                yield Row(here, "list of sections", "none", key.meaning)
                yield from rows(below, f"{here}[]")
            case kind:
                yield Row(here, kind.word, "required" if key.required else _default(section, key, kind), key.meaning)


def _default(section: Section, key: Key, kind: Kind) -> str:
    field = next(field for field in dataclasses.fields(section.builds) if field.name == key.target)
    made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    return kind.show(made)
