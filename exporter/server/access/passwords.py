"""Passwords: checked once, then remembered by a keyed digest, for a scrape must not cost a tenth of a second.

Checking is slow on purpose. So it is done beside the event loop, one at a time, and only so many may wait for it. A
name that nobody has is checked as well, against somebody's hash: how long a refusal takes does not tell who is known.
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Mapping

MOST_WAITING = 16
MOST_REMEMBERED = 100

_SIGNIFICANT_BYTES = 72
"""Of a password, to bcrypt: what comes after them was never looked at by the program that made the hash either."""


class BusyError(Exception):
    """Too many passwords wait to be checked."""


class Passwords:
    """Checks passwords against bcrypt hashes, and remembers those that were right.

    Attributes:
        check: whether a password fits a hash; for tests, that count how often it is asked.
    """

    def __init__(self) -> None:
        self.check: Callable[[bytes, str], bool] = _bcrypt
        self._key = secrets.token_bytes(32)
        self._right: set[bytes] = set()
        self._waiting = 0
        self._lock = asyncio.Lock()

    async def fit(self, users: Mapping[str, str], name: bytes, password: bytes) -> bool:
        """Whether this is the password of that user.

        Raises:
            BusyError: it was not found out.
        """
        user = name.decode("utf-8", "replace")
        known = user in users
        hashed = users[user] if known else self._somebody(users, name)
        mark = self._digest(name, hashed.encode("ascii"), password)
        if known and mark in self._right:
            return True
        if self._waiting >= MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            async with self._lock:
                right = (known and mark in self._right) or await asyncio.to_thread(self.check, password, hashed)
        finally:
            self._waiting -= 1
        if not (right and known):
            return False
        if len(self._right) >= MOST_REMEMBERED:
            self._right.clear()
        self._right.add(mark)
        return True

    def _somebody(self, users: Mapping[str, str], name: bytes) -> str:
        """A hash for a name that nobody has: always the same one, and of a cost that hashes here do have."""
        hashes = sorted(users.values())
        return hashes[int.from_bytes(self._digest(name)[:8], "big") % len(hashes)]

    def _digest(self, *parts: bytes) -> bytes:
        return hmac.digest(self._key, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")


def _bcrypt(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - most exporters ask for no password

    return bcrypt.checkpw(password[:_SIGNIFICANT_BYTES], hashed.encode("ascii"))
