from typing import Any

import pytest

from tests.validation.stages import FakeTime
from validation.sensor.load import PIECE_SECONDS, NoLoadError, NumpyLoad, gpu_load


class FakeCuda:
    """Waits for what was handed over."""

    def __init__(self, torch: "FakeTorch") -> None:
        self._torch = torch

    def synchronize(self) -> None:
        self._torch.time.wait(self._torch.queued_seconds)
        self._torch.queued_seconds = 0.0

    def empty_cache(self) -> None:
        self._torch.emptied += 1


class FakeTorch:
    """A GPU of so many operations a second, behind PyTorch's names."""

    bfloat16 = "bfloat16"

    def __init__(self, per_second: float, room: int = 1 << 40) -> None:
        self.time = FakeTime()
        self.cuda = FakeCuda(self)
        self.queued_seconds = 0.0
        self.emptied = 0
        self._per_second = per_second
        self._room = room

    def randn(self, rows: int, columns: int, **on: str) -> Any:
        assert on == {"device": "cuda:0", "dtype": "bfloat16"}
        if rows * columns > self._room:
            raise RuntimeError("CUDA out of memory.\nTried to allocate")
        return rows

    def empty_like(self, matrix: int) -> int:
        return matrix

    def mm(self, left: int, right: int, out: int) -> None:
        assert left == right == out
        self.queued_seconds += 2.0 * left**3 / self._per_second


@pytest.mark.parametrize(("per_second", "size"), [(700e12, 8192), (100e12, 4096), (10e12, 2048), (0.1e12, 1024)])
def test_a_piece_of_work_takes_some_milliseconds_on_fast_boards_and_on_slow_ones(per_second: float, size: int) -> None:
    torch = FakeTorch(per_second)
    load = gpu_load(torch.time.now, torch)
    assert f"{size} x {size}" in load.name
    before = torch.time.now()
    load.piece()
    one = 2.0 * size**3 / per_second
    assert torch.time.now() - before == pytest.approx(max(one, PIECE_SECONDS), rel=0.35)
    load.close()
    assert torch.emptied == 1


def test_a_board_without_room_says_so_in_one_line() -> None:
    torch = FakeTorch(1e12, room=100)
    with pytest.raises(NoLoadError, match=r"multiplies no matrices: CUDA out of memory\.$"):
        gpu_load(torch.time.now, torch)


def test_the_cpu_can_be_loaded_as_well() -> None:
    load = NumpyLoad()
    load.piece()
    load.close()
    assert "NumPy on the CPU" in load.name
