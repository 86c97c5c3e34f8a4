"""How to be let in by whoever is asked over HTTP."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """What to show, and whom to trust.

    Attributes:
        token: a bearer token. user, password: for basic authentication. At most one of the two ways; a name and a
            password may stand in the URL instead.
        ca_file: PEM file of the authorities that may have signed the other side's certificate; None: the system's.
    """

    token: str = ""
    user: str = ""
    password: str = ""
    ca_file: Path | None = None


OPEN = Access()
"""Nothing needs to be shown."""
