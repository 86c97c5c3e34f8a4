"""Energy windows around any code: told to a running exporter, which knows what else ran at the same time.

    from exporter.client import measure, window

    with window("epoch", model="resnet-50") as epoch:
        train()
    print(epoch.energy())

    @measure
    async def answer(question): ...

Needs nothing but the standard library, and nothing of the rest of this package. See docs/CLIENT.md.
"""

from typing import Unpack

from exporter.client.access import Access
from exporter.client.client import EnergyClient, default_client, use
from exporter.client.decorator import Measure
from exporter.client.energy import Energy
from exporter.client.windows import About, Clocks, Window, current_window

__all__ = [
    "About",
    "Access",
    "Clocks",
    "Energy",
    "EnergyClient",
    "Window",
    "current_window",
    "default_client",
    "flush",
    "measure",
    "use",
    "window",
]


def window(name: str, **about: Unpack[About]) -> Window:
    """A window told by the program's client. See `EnergyClient.window`."""
    return default_client().window(name, **about)


def flush(timeout: float = 5.0) -> bool:
    """Wait until all that was said has been told or lost; False where that takes longer."""
    return default_client().flush(timeout)


measure = Measure(default_client)
"""A decorator: every call of the function is a window told by the program's client. See `Measure`."""
