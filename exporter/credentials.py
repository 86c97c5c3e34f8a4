"""How to be let in over HTTP: secrets that stand in files, and the header that shows them.

For sensors and commands alike. `exporter.client` has the like of its own: programs import it, so it loads nothing else.
"""

from base64 import b64encode
from pathlib import Path


def first_line(path: str | Path) -> str:
    """The first line of a file: secrets on a command line are seen by everybody on the machine.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not text.
    """
    return Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()


def is_token(text: str) -> bool:
    """Whether a header can show this as a bearer token."""
    return bool(text) and text.isascii() and text.isprintable()


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def basic(pair: bytes) -> dict[str, str]:
    """The header that shows `name:password`."""
    return {"Authorization": f"Basic {b64encode(pair).decode('ascii')}"}
