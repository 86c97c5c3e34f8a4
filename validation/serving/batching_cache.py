"""How full the cache of Transformers' continuous batching is planned to be. Loads no PyTorch, unlike the engine."""

from typing import Final

FILLED: Final = 0.7
"""Part of the cache's blocks: below a fifth free, the scheduler lets nobody in."""
