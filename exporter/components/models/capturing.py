"""One real forward pass, seen through hooks.

It is run twice. The first time only who calls whom is written down, in order; from that the parts are known. The second
time the calls that are to be replayed keep what they are given. A call is known by its number in the pass, so a module
that runs several times in a pass (ALBERT's one layer does) has as many calls.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from exporter.components.models.caches import HeldCache, copied
from exporter.components.models.calls import Call, mapped, samples, tensors_in


@dataclass(slots=True)
class Node:
    """One call of the first pass.

    Attributes:
        number: in order of beginning; 0 is the model's own.
        path: of the module. module: itself.
        input_bytes: of the tensors it was given.
        children: calls that it made.
    """

    number: int
    path: str
    module: Any
    input_bytes: int
    children: list["Node"] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def kind(self) -> str:
        """Name of the module's class."""
        return type(self.module).__name__

    def below(self) -> list["Node"]:
        """All calls inside of it, in order."""
        return [node for child in self.children for node in (child, *child.below())]


def survey(model: Any, pass_inputs: Mapping[str, Any]) -> Node:
    """Who calls whom in one pass."""
    root = Node(-1, "", None, 0)
    open_nodes, numbers = [root], iter(range(1_000_000))

    def began(path: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            node = Node(next(numbers), path, module, sum(one.nbytes for one in tensors_in((args, kwargs))))
            open_nodes[-1].children.append(node)
            open_nodes.append(node)

        return hook

    def ended(_path: str) -> Callable[..., None]:
        def hook(_module: Any, _args: Any, _kwargs: Any, _result: Any) -> None:
            open_nodes.pop()

        return hook

    _run_hooked(model, pass_inputs, began, ended)
    return root.children[0]


def capture(
    model: Any, pass_inputs: Mapping[str, Any], wanted: Collection[int], with_outcome: Collection[int]
) -> dict[int, Call]:
    """Run the pass again and keep calls.

    Args:
        model: in evaluation mode.
        pass_inputs: the same as those of the survey; caches among them are left as they are.
        wanted: numbers of the calls to keep.
        with_outcome: of which also samples of the result are kept.
    """
    capturing = _Capturing(frozenset(wanted), frozenset(with_outcome))
    _run_hooked(model, pass_inputs, capturing.began, capturing.ended)
    return capturing.calls


class _Capturing:
    def __init__(self, wanted: frozenset[int], with_outcome: frozenset[int]) -> None:
        self.calls: dict[int, Call] = {}
        self._wanted = wanted
        self._with_outcome = with_outcome
        self._next = 0
        self._open: list[int] = []
        self._clones: dict[tuple[int, int], tuple[Any, Any]] = {}

    def began(self, path: str) -> Callable[..., None]:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            number, self._next = self._next, self._next + 1
            self._open.append(number)
            if number in self._wanted:
                self.calls[number] = self._kept(path, module, args, kwargs)

        return hook

    def ended(self, _path: str) -> Callable[..., None]:
        def hook(_module: Any, _args: Any, _kwargs: Any, result: Any) -> None:
            number = self._open.pop()
            if number in self._with_outcome and number in self.calls:
                call = self.calls[number]
                self.calls[number] = Call(
                    call.path, call.module, call.args, call.kwargs, call.held, outcome=samples(result)
                )

        return hook

    def _kept(self, path: str, module: Any, args: Any, kwargs: Any) -> Call:
        held: list[HeldCache] = []

        def cache(one: Any) -> Any:
            held.append(HeldCache(one))
            return held[-1].cache

        own_args, own_kwargs = mapped(args, self._clone, cache), mapped(kwargs, self._clone, cache)
        return Call(path, module, own_args, own_kwargs, tuple(held))

    def _clone(self, tensor: Any) -> Any:
        """A mask that every layer is given is kept once; a tensor that was written into since is another one."""
        key = (id(tensor), tensor._version)  # noqa: SLF001 - PyTorch has no other name for it
        if key not in self._clones:
            self._clones[key] = (tensor.detach().clone(), tensor)  # the original as well, so that its id stays its own
        return self._clones[key][0]


def _run_hooked(
    model: Any,
    pass_inputs: Mapping[str, Any],
    began: Callable[[str], Callable[..., None]],
    ended: Callable[[str], Callable[..., None]],
) -> None:
    own = mapped(dict(pass_inputs), lambda tensor: tensor, copied)
    with ExitStack() as hooks, torch.no_grad():
        for path, module in model.named_modules():
            before = module.register_forward_pre_hook(began(path), with_kwargs=True)
            after = module.register_forward_hook(ended(path), with_kwargs=True)
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        model(**own)
