"""A load that can be switched on and off: one matrix multiplication after the other.

On a GPU it is PyTorch's, of random bfloat16 matrices, since zeros draw less power. A few milliseconds of them are
handed over at once and waited for, so that the load ends within some milliseconds of when it should. On the fake board
it is NumPy's, on the CPU, whose time the fake's watts follow.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

PIECE_SECONDS = 0.003
"""Of work, handed over at once."""
_SIZES = (8192, 4096, 2048, 1024)
_LONGEST_ONE_SECONDS = 0.006
_WARM_UP_SECONDS = 0.3
_CPU_SIZE = 384


class Load(Protocol):
    """Something that keeps the board busy."""

    name: str

    def piece(self) -> None:
        """Some milliseconds of work, done when this returns."""
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """An open CUDA context. `uuid`: of the board, as NVML writes it; empty where PyTorch does not tell."""

    uuid: str
    held: Any


class NoLoadError(Exception):
    """Nothing can load this board; says why."""


def prepare() -> None:
    """Import what will be needed, which may take long and opens no context; what is missing is told when it is used."""
    with suppress(Exception):  # libraries that cannot be loaded raise whatever they like
        import torch  # noqa: F401, PLC0415


def open_context() -> Context:
    """Open a CUDA context and nothing else.

    Raises:
        NoLoadError: there is no PyTorch, or it sees no GPU.
    """
    torch = _torch()
    held = torch.zeros(1, device="cuda:0")
    torch.cuda.synchronize()
    uuid = str(getattr(torch.cuda.get_device_properties(0), "uuid", ""))
    return Context(f"GPU-{uuid}" if uuid and not uuid.startswith("GPU-") else uuid, held)


def gpu_load(now: Callable[[], float], torch: Any = None) -> "TorchLoad":
    """A load for the GPU, warm and sized so that a piece takes about `PIECE_SECONDS`.

    Args:
        now: seconds.
        torch: PyTorch, or what answers like it; None: it is imported.

    Raises:
        NoLoadError: there is no PyTorch, it sees no GPU, or the GPU has no memory left.
    """
    torch = torch or _torch()
    try:
        for size in _SIZES:
            load = TorchLoad(torch, size)
            load.warm_up(now)
            if load.one_seconds <= _LONGEST_ONE_SECONDS:
                break
    except RuntimeError as error:
        raise NoLoadError(f"the GPU multiplies no matrices: {str(error).splitlines()[0]}") from error
    return load


class TorchLoad:
    """Multiplications on `cuda:0`. `one_seconds`: what one takes, known once warm."""

    def __init__(self, torch: Any, size: int) -> None:
        self.name = f"bfloat16 matrices of {size} x {size}, PyTorch"
        self.one_seconds = PIECE_SECONDS
        self._operations = 2.0 * size**3
        self._torch = torch
        self._left, self._right = (torch.randn(size, size, device="cuda:0", dtype=torch.bfloat16) for _ in range(2))
        self._product = torch.empty_like(self._left)

    def warm_up(self, now: Callable[[], float]) -> None:
        """Let libraries load and clocks rise, and see how long one takes."""
        self.piece()
        began, pieces = now(), 0
        while now() - began < _WARM_UP_SECONDS:
            self.piece()
            pieces += 1
        self.one_seconds = (now() - began) / (pieces * self._times)

    def piece(self) -> None:
        """Some milliseconds of work."""
        for _ in range(self._times):
            self._torch.mm(self._left, self._right, out=self._product)
        self._torch.cuda.synchronize()

    def close(self) -> None:
        """Give the memory back; the context stays."""
        self._left = self._right = self._product = None
        self._torch.cuda.empty_cache()

    @property
    def teraflops(self) -> float:
        """A second, once warm."""
        return self._operations / self.one_seconds / 1e12

    @property
    def _times(self) -> int:
        return max(1, round(PIECE_SECONDS / self.one_seconds))


class NumpyLoad:
    """Multiplications on the CPU."""

    def __init__(self) -> None:
        self.name = f"float32 matrices of {_CPU_SIZE} x {_CPU_SIZE}, NumPy on the CPU"
        self._matrix = np.ones((_CPU_SIZE, _CPU_SIZE), dtype=np.float32)
        self._product = np.empty_like(self._matrix)

    def piece(self) -> None:
        """A millisecond or a few."""
        np.matmul(self._matrix, self._matrix, out=self._product)

    def close(self) -> None:
        """Nothing to give back."""


def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415 - optional, and slow to import
    except (ImportError, OSError, RuntimeError) as error:  # a library that it needs is missing, or another one
        raise NoLoadError(f"PyTorch cannot be imported: {error}") from error
    if not torch.cuda.is_available():
        raise NoLoadError(f"PyTorch {torch.__version__} sees no GPU")
    return torch
