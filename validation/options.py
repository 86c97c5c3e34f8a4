"""What whoever starts a validation may choose, and every stage may ask."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """Choices of the command line.

    Attributes:
        fake: on the fake NVML: the load runs on the CPU, models are tiny, and nothing of it is a measurement.
        llama_server: the llama-server to be driven; None: one is looked for.
        servers: how names of the servers to be loaded begin; none: all.
    """

    fake: bool = False
    llama_server: Path | None = None
    servers: tuple[str, ...] = ()
