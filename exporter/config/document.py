"""YAML text -> plain values, with `${NAME}` filled in from the environment.

YAML 1.1 as PyYAML reads it has traps that this file is full of bait for: the PCI bus id `00000000:17:00.0` is a number
to base 60, `on` is a truth, `010` is eight. So scalars are read by the rules of YAML 1.2: what does not look like a
number, `true`, `false` or `null` is text. Keys that stand twice, and tags, are refused.

Environment variables are filled into the parsed scalars, not into the text, so that no value of theirs can change the
structure of the file. `$${` is a literal `${`.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from exporter.config.problems import Problems, inside
from exporter.domain.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge"))

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{)")


class _Loader(yaml.SafeLoader):
    """PyYAML with YAML 1.2's idea of what a plain scalar is."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute, emptied here

    def plain_tag(self, text: str) -> str:
        """What an unquoted scalar of this text is."""
        return str(self.resolve(yaml.ScalarNode, text, (True, False)))  # type: ignore[no-untyped-call]


_Loader.add_implicit_resolver(_TAG + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(_TAG + "int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _TAG + "float",
    re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(_TAG + "merge", re.compile(r"<<$"), ["<"])


def read(text: str, environment: Mapping[str, str] | None, file: str) -> Any:
    """The document's values. Without an environment nothing is filled in, and a `$` is a `$`.

    Raises:
        ConfigError: the text is no YAML (`file:line:column: why`), or a variable or key in it is wrong.
    """
    try:
        return _read(text, environment)
    except yaml.MarkedYAMLError as error:
        raise ConfigError("", _located(error, file)) from None
    except yaml.reader.ReaderError as error:
        where = f"{file}: character {error.position + 1}"
        raise ConfigError("", f"{where}: {error.reason}") from None
    except RecursionError:
        raise ConfigError("", f"{file}: nested too deeply") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError("", f"{file}: {error}") from None


def _read(text: str, environment: Mapping[str, str] | None) -> Any:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _Walk(loader, environment).over(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _located(error: yaml.MarkedYAMLError, file: str) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
    words = [word for word in (error.context, error.problem) if word]
    return f"{where}: {' '.join(', '.join(words).split())}"


class _Walk:
    """One way over the whole tree: fills in the variables, and finds what plain YAML would let pass."""

    def __init__(self, loader: _Loader, environment: Mapping[str, str] | None) -> None:
        self._loader = loader
        self._environment = environment
        self._problems = Problems()
        self._seen: set[int] = set()  # an alias may lead back to where it stands

    def over(self, root: yaml.Node) -> None:
        self._visit(root, "")
        self._problems.raise_any()

    def _visit(self, node: yaml.Node, path: str) -> None:
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self._visit(child, f"{path}[{index}]")
        elif isinstance(node, yaml.ScalarNode):
            self._scalar(node, path)
        self._tag(node, path)

    def _mapping(self, node: yaml.MappingNode, path: str) -> None:
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # no section has such a key: it is refused as unknown
            here, line = inside(path, key.value), key.start_mark.line + 1
            if key.value in lines:
                self._problems.add(here, f"stands twice, in line {lines[key.value]} and in line {line}")
            lines.setdefault(key.value, line)
            self._tag(key, here)
            self._visit(value, here)

    def _scalar(self, node: yaml.ScalarNode, path: str) -> None:
        if self._environment is None or "${" not in node.value:
            return
        with self._problems.gathered():
            node.value = expand(node.value, self._environment, path)
            if node.style is None:  # unquoted, so `${PORT}` may be a number
                node.tag = self._loader.plain_tag(node.value)

    def _tag(self, node: yaml.Node, path: str) -> None:
        if node.tag not in _PLAIN_TAGS or not self._fits(node):
            self._problems.add(path, f"the tag `{node.tag.removeprefix(_TAG)}` is not for here; write the plain value")

    def _fits(self, node: yaml.Node) -> bool:
        if not isinstance(node, yaml.ScalarNode) or node.tag == _TAG + "str":
            return True
        return node.tag == self._loader.plain_tag(node.value)


def expand(text: str, environment: Mapping[str, str], path: str) -> str:
    """Fill in `${NAME}` and `${NAME:-default}`; the default also stands for an empty variable, as in a shell."""

    def filled(match: re.Match[str]) -> str:
        if match["broken"]:
            raise ConfigError(path, "`${` begins a variable: write ${NAME}, ${NAME:-default}, or $${ for itself")
        if match["name"] is None:
            return "${"
        return _value(match["name"], match["default"], environment, path)

    return _VARIABLE.sub(filled, text)


def _value(name: str, default: str | None, environment: Mapping[str, str], path: str) -> str:
    value = environment.get(name)
    if default is not None:
        return value or default
    if value is None:
        raise ConfigError(path, f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
    return value
