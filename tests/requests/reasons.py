"""Every reason for which a line may be ignored or dropped, as the program's source has them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import exporter
from exporter.requests.arrival import LINE_TOO_LONG, TRUNCATED

_SOURCE = Path(exporter.__file__).parent
_ARRIVAL = {LINE_TOO_LONG, TRUNCATED}  # counted without an event


def reasons() -> set[str]:
    """All reasons; an expression that cannot be followed to its texts is an AssertionError."""
    found = set(_ARRIVAL)
    for path in sorted(_SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        named = _Names(tree)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Ignored", "Dropped")
            ):
                texts = set(named.texts(node.args[0]))
                assert texts, f"{path.name}:{node.lineno}: {ast.unparse(node)} hides its reason from this list"
                found |= texts
    return found


class _Names:
    """What the names of one module stand for."""

    def __init__(self, tree: ast.Module) -> None:
        assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
        self._values = {
            target.id: one.value for one in assigned for target in one.targets if isinstance(target, ast.Name)
        }
        loops = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
        self._loops = {name.id: loop for loop in loops for name in ast.walk(loop.target) if isinstance(name, ast.Name)}

    def texts(self, node: ast.expr) -> Iterator[str]:
        """The texts that an expression may be: a text, one of two, what a table holds, what a loop goes through."""
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.IfExp(body=body, orelse=orelse):
                yield from (*self.texts(body), *self.texts(orelse))
            case ast.Call(func=ast.Attribute(value=ast.Name(id=table), attr="get"), args=[_, default]):
                yield from self.texts(default)
                yield from self._table(self._values.get(table))
            case ast.Name(id="LINE_TOO_LONG"):
                yield LINE_TOO_LONG
            case ast.Name(id=name) if name in self._loops:
                yield from self._looped(self._loops[name])
            case ast.Name(id=name) if name in self._values:
                yield from self.texts(self._values[name])

    def _table(self, node: ast.expr | None) -> Iterator[str]:
        if isinstance(node, ast.Dict):
            for value in node.values:
                yield from self.texts(value)

    def _looped(self, loop: ast.For) -> Iterator[str]:
        """The first of each pair that is gone through; of what arrival dropped, its own."""
        if not isinstance(loop.iter, ast.Name):
            yield from _ARRIVAL
            return
        pairs = self._values.get(loop.iter.id)
        for pair in pairs.elts if isinstance(pairs, ast.Tuple) else ():
            if isinstance(pair, ast.Tuple):
                yield from self.texts(pair.elts[0])
