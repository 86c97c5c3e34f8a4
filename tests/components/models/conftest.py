"""PyTorch as tests want it: on one thread, and not there at all where it is not installed."""

from importlib.util import find_spec

import pytest

_HAS_TORCH = find_spec("torch") is not None and find_spec("transformers") is not None
collect_ignore = [] if _HAS_TORCH else ["test_caches.py", "test_prepare.py", "test_taking_apart.py", "test_loading.py"]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    if _HAS_TORCH:
        import torch  # noqa: PLC0415 - takes seconds, and not every run of the tests needs it

        torch.set_num_threads(1)
