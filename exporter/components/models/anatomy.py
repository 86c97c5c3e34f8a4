"""From the calls of a pass to the components of a model, by structure.

A *block* is an element of a list of modules in which there is an attention. Inside of it modules are told apart by the
words in the names of their classes and attributes, which families agree upon surprisingly well: something with `norm`
is a norm, with `Attention` an attention (a cross-attention where `cross`, `encdec` or `encoder_attn` is said),
`experts` and `router` or `gate` make a mixture; what is left in a block is its MLP, whether it is one module (Llama) or
several beside each other (BART's `fc1` and `fc2`, BERT's `intermediate` and `output.dense`).

The parts of a block do not overlap, so that they can be added up. A module that holds parts of several kinds is opened
and its own parts are taken: BERT's attention and its output hold a norm each. A norm inside of what cannot be opened
(queries' and keys' norms in Qwen3's attention, the norm at the end of ALBERT's) belongs to that. What no module does is
in no part: residual sums, and the scaling of an embedding. They are what a capture below 100 % leaves out.

Before the blocks there are embeddings (tokens, positions, rotary tables), after them the language model's head.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from exporter.components.models.capturing import Node
from exporter.domain.dissection import ComponentName, Whole
from exporter.domain.errors import ComponentsError

_ATTENTION = re.compile(r"attention|attn|mha(?![a-z])", re.IGNORECASE)
_CROSS = re.compile(r"cross_?att|encdec|encoder_att", re.IGNORECASE)
_MLP = re.compile(r"mlp|ffn|feed_?forward|dense(gated)?act", re.IGNORECASE)
_NORM = re.compile(r"norm", re.IGNORECASE)
_EMBEDDING = re.compile(r"embed|rotary|position", re.IGNORECASE)
_ORDER: tuple[ComponentName, ...] = ("attention", "cross_attention", "router", "experts", "mlp", "norm")


@dataclass(frozen=True, slots=True)
class Component:
    """A component with all its calls in one pass.

    Attributes:
        component, path, part_of, instances: see ComponentEnergy.
        occurrences: each time that the pass ran it: numbers of the calls that make it up, in order.
    """

    component: ComponentName
    path: str
    part_of: Whole | None
    instances: int
    occurrences: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    component: ComponentName
    node: Node


def components(model: Any, root: Node) -> list[Component]:
    """Take a model apart.

    Args:
        model: whose modules they are.
        root: the calls of one pass.

    Raises:
        ComponentsError: there are no blocks with attention in it; says what was looked for.
    """
    lists = {path for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    blocks = [node for node in root.below() if _is_block(node, lists)]
    blocks = [node for node in blocks if not any(node in other.below() for other in blocks)]
    if not blocks:
        raise ComponentsError(
            f"{type(model).__name__} cannot be taken apart: looked for a ModuleList of blocks with a module in each "
            "whose class is called an attention, and found none that the pass ran"
        )
    outside = list(_outside(root, blocks))
    _refuse_strangers(model, blocks, outside)
    whole = Component("model", "", None, 1, ((root.number,),))
    return [whole, *_before(outside), *_stacks(blocks), *_after(outside)]


# --- the model -------------------------------------------------------------------------------------------------------


def _is_block(node: Node, lists: set[str]) -> bool:
    return node.path.rpartition(".")[0] in lists and any(_is_attention(each) for each in node.below())


def _outside(root: Node, blocks: list[Node]) -> Iterator[_Piece]:
    """The largest modules that hold no block, in order."""
    inside = {id(block) for block in blocks}
    last_block = max(block.number for block in blocks)

    def walk(node: Node) -> Iterator[_Piece]:
        for child in node.children:
            if id(child) in inside or _is_nothing(child):
                continue
            if any(id(each) in inside for each in child.below()):
                yield from walk(child)
            else:
                yield _Piece(_kind_outside(child, last_block), child)

    yield from walk(root)


def _kind_outside(node: Node, last_block: int) -> ComponentName:
    if _is_norm(node) and "." in node.path:
        return "norm"
    if node.number > last_block and not _EMBEDDING.search(f"{node.name} {node.kind}"):
        return "lm_head"
    return "embedding"


def _refuse_strangers(model: Any, blocks: list[Node], outside: list[_Piece]) -> None:
    """Layers of other kinds among the blocks would be taken for embeddings."""
    lists = {block.path.rpartition(".")[0] for block in blocks}
    for node in (piece.node for piece in outside):
        if node.path.rpartition(".")[0] in lists:
            raise ComponentsError(
                f"{type(model).__name__} cannot be taken apart: {node.path} ({node.kind}) stands among the blocks, and "
                "no attention was found in it"
            )


def _before(outside: list[_Piece]) -> list[Component]:
    return _together([piece for piece in outside if piece.component == "embedding"])


def _after(outside: list[_Piece]) -> list[Component]:
    norms = [piece.node for piece in outside if piece.component == "norm"]
    each = tuple((node.number,) for node in norms)
    own = [Component("norm", norms[0].path, "model", len(norms), each)] if norms else []
    return [*own, *_together([piece for piece in outside if piece.component == "lm_head"])]


def _together(pieces: list[_Piece]) -> list[Component]:
    if not pieces:
        return []
    numbers = tuple(piece.node.number for piece in pieces)
    return [Component(pieces[0].component, pieces[0].node.path, "model", 1, (numbers,))]


# --- blocks ----------------------------------------------------------------------------------------------------------


def _stacks(blocks: list[Node]) -> Iterator[Component]:
    """Blocks that stand in one list and have the same parts are one component; a decoder's are not an encoder's."""
    taken_apart = [(block, list(_pieces(block, block.path, "mlp"))) for block in blocks]
    groups: dict[object, list[tuple[Node, list[_Piece]]]] = {}
    for block, pieces in taken_apart:
        kinds = tuple(sorted({piece.component for piece in pieces}))
        norms = sum(piece.component == "norm" for piece in pieces)
        groups.setdefault((block.path.rpartition(".")[0], kinds, norms), []).append((block, pieces))
    for group in groups.values():
        yield from _block_and_parts(group)


def _block_and_parts(group: list[tuple[Node, list[_Piece]]]) -> Iterator[Component]:
    occurrences = tuple((block.number,) for block, _ in group)
    yield Component("block", group[0][0].path, "model", len(group), occurrences)
    for kind in _ORDER:
        own = [[piece.node for piece in pieces if piece.component == kind] for _, pieces in group]
        if not own[0]:
            continue
        if kind == "norm":
            each = tuple((node.number,) for nodes in own for node in nodes)
            yield Component(kind, own[0][0].path, "block", len(own[0]), each)
        else:
            every = tuple(tuple(node.number for node in nodes) for nodes in own)
            yield Component(kind, own[0][0].path, "block", 1, every)


def _pieces(node: Node, block_path: str, context: ComponentName) -> Iterator[_Piece]:
    """The parts inside of one module of a block. `context` is what a module is that says nothing of itself."""
    for child in node.children:
        if _is_nothing(child):
            continue
        kind = _kind(child, child.path.removeprefix(block_path), context)
        if kind is not None and not _must_be_opened(child):
            yield _Piece(kind, child)
        else:
            inner = _attention_kind(child, block_path) if _is_attention(child) else context
            yield from _pieces(child, block_path, inner)


def _kind(node: Node, path: str, context: ComponentName) -> ComponentName | None:
    """What a module of a block is; None where its own parts must say."""
    if _is_norm(node):
        return "norm"
    if _is_attention(node):
        return _attention_kind(node, node.path.removesuffix(path))
    if ".experts" in path or node.kind.endswith("Experts"):
        return "experts"
    if "router" in node.kind.lower() or node.name in {"gate", "router"}:
        return "router"
    if _MLP.search(node.kind):
        return "mlp"
    return None if any(_is_norm(each) or _is_attention(each) for each in node.below()) else context


def _must_be_opened(node: Node) -> bool:
    """Whether parts of several kinds lie in it, that can be had by themselves."""
    if _is_attention(node):
        return any(_is_attention(each) for each in node.below())
    return any(each.name == "experts" or each.kind.endswith("Experts") for each in node.below())


def _attention_kind(node: Node, block_path: str) -> ComponentName:
    return "cross_attention" if _CROSS.search(node.path.removeprefix(block_path) + node.kind) else "attention"


def _is_attention(node: Node) -> bool:
    return bool(_ATTENTION.search(node.kind)) and not _is_norm(node)


def _is_norm(node: Node) -> bool:
    """By its class, or by its name where it is an empty place for one (the first of ModernBERT's)."""
    return not node.children and bool(_NORM.search(node.kind) or _NORM.search(node.name))


def _is_nothing(node: Node) -> bool:
    return isinstance(node.module, nn.Dropout) or (isinstance(node.module, nn.Identity) and not _is_norm(node))
