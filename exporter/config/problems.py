"""Everything that is wrong with a configuration, said at once rather than one restart at a time."""

import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from exporter.domain.errors import ConfigError

_YAML_WORDS = {None: "null", True: "true", False: "false"}


class ConfigErrors(ConfigError):  # noqa: N818 - the plural of an error
    """Several things are wrong. `errors` holds each with its own path."""

    def __init__(self, errors: tuple[ConfigError, ...]) -> None:
        lines = "".join(f"\n  {error}" for error in errors)
        super().__init__("", f"{len(errors)} problems{lines}")
        self.errors = errors


class Problems:
    """Gathers what is wrong in the parts of one whole."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    def add(self, path: str, problem: str) -> None:
        """Note a problem."""
        self._found.append(ConfigError(path, problem))

    def note(self, error: ConfigError, prefix: str = "") -> None:
        """Note an error, or several in one; `prefix` goes before their paths."""
        errors = error.errors if isinstance(error, ConfigErrors) else (error,)
        self._found.extend(_under(prefix, each) for each in errors)

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Note what the block raises, and go on after it."""
        try:
            yield
        except ConfigError as error:
            self.note(error)

    def raise_any(self) -> None:
        """Raise what was gathered: one problem as itself, more of them together."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise ConfigErrors(tuple(self._found))


def inside(path: str, key: object) -> str:
    """The path of `key` in the section at `path`."""
    return f"{path}.{key}" if path else str(key)


def shown(value: Any) -> str:
    """A value as the user wrote it, more or less, and never long."""
    if value is None or isinstance(value, bool):
        return _YAML_WORDS[value]
    return reprlib.repr(value)


def suggestion(word: object, known: Iterable[str]) -> str:
    """What `word` was perhaps meant to be, to end a sentence with; empty where nothing is near."""
    import difflib  # noqa: PLC0415 - a configuration without mistakes needs none of it

    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _under(prefix: str, error: ConfigError) -> ConfigError:
    if not prefix:
        return error
    glue = "" if not error.path or error.path.startswith("[") else "."
    return ConfigError(f"{prefix}{glue}{error.path}", error.problem)
