"""The client: opens windows and tells them; one for the whole program by default."""

import atexit
import itertools
import os
import threading
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from exporter.client.access import Access, from_environment
from exporter.client.decorator import Measure
from exporter.client.link import SERVER_VARIABLE, URL_VARIABLE, Link, address_of, url_from_environment
from exporter.client.sender import Sender
from exporter.client.windows import About, Clocks, Window

if TYPE_CHECKING:
    from ssl import SSLContext

AT_EXIT_SECONDS = 1.5
MOST_WAITING = 10_000
TIMEOUT_SECONDS = 2.0
_RUN_BYTES = 5


class EnergyClient:
    """Tells one exporter of windows. May be used by any number of threads and tasks, and in forked processes.

    Attributes:
        server: which of the exporter's `push` servers the windows belong to; None where it has only one.
        given_up_until: until when nobody waits for the exporter to answer, by the monotonic clock; 0: it does.
    """

    def __init__(  # noqa: PLR0913 - where the exporter is, and how to get in
        self,
        url: str | None = None,
        server: str | None = None,
        *,
        access: Access | None = None,
        headers: Mapping[str, str] | None = None,
        tls: "SSLContext | None" = None,
        timeout: float = TIMEOUT_SECONDS,
        most_waiting: int = MOST_WAITING,
        clocks: Clocks | None = None,
    ) -> None:
        """Connects to nobody yet.

        Args:
            url: where the exporter is; None: what ENERGY_EXPORTER_URL says, else http://127.0.0.1:9460. Empty, here or
                there: windows are told to nobody.
            server: None: what ENERGY_EXPORTER_SERVER says, if it does.
            access: how to be let in; None: what ENERGY_EXPORTER_USER and its like say, see `Access`.
            headers: sent along besides; those of the same name go before what `access` says.
            tls: for https, in place of the certificates that `access` names.
            timeout: seconds that one post may take.
            most_waiting: notes that wait at most while the exporter is away; beyond it the oldest are lost.
            clocks: what time it is; None: this machine's.

        Raises:
            ValueError: `url` is no http or https URL, or a file that `access` names is not what it should be.
        """
        url = url_from_environment() if url is None else url
        access = from_environment() if access is None else access
        self._address = address_of(url, {**access.headers(), **(headers or {})}) if url else None
        self.server = server if server is not None else os.environ.get(SERVER_VARIABLE) or None
        self.clocks = clocks or Clocks()
        self._tls = access.tls() if tls is None and self._address is not None and self._address.secure else tls
        self._timeout = timeout
        self._most_waiting = most_waiting
        self._said: set[str] = set()
        self.given_up_until = 0.0
        self._begin_anew()
        _clients.add(self)

    # --- windows ---------------------------------------------------------------------------------------------------

    def window(self, name: str, **about: Unpack[About]) -> Window:
        """A window, to be opened by `with`, `async with` or `begin`. See `About` for what may be said of it."""
        return Window(self, name, **about)

    @property
    def measure(self) -> Measure:
        """A decorator: every call of the function is a window. See `Measure`."""
        return Measure(lambda: self)

    def new_id(self, name: str) -> str:
        """An id that no other window has, here or anywhere."""
        return f"{name}/{self._run}-{next(self._numbers)}"

    # --- telling ---------------------------------------------------------------------------------------------------

    @property
    def off(self) -> bool:
        """Whether windows are told to nobody, because the URL is empty."""
        return self._address is None

    @property
    def dropped(self) -> int:
        """Windows that the exporter will never know of; of windows with others inside, pieces."""
        return self.sender.dropped

    @property
    def problem(self) -> str:
        """Why the latest try to tell anything failed; empty while all is well."""
        return self.sender.problem

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was said has been told or lost; False where that takes longer."""
        return self.sender.flush(timeout)

    def close(self, timeout: float = AT_EXIT_SECONDS) -> bool:
        """Tell what can be told in this time, and lose the rest. Happens by itself when the program ends."""
        return self.sender.close(timeout)

    def __enter__(self) -> "EnergyClient":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def link(self) -> Link | None:
        """A connection of one's own, for one thread; None where there is nobody."""
        return None if self._address is None else Link(self._address, self._tls, self._timeout)

    def _warn(self, kind: str, sentence: str) -> None:
        """Say this kind of thing once."""
        if kind not in self._said:
            self._said.add(kind)
            _warn(f"{self._address.place if self._address else 'nobody'}: {sentence}")

    def _begin_anew(self) -> None:
        """With nothing told, in this process."""
        self.lock = threading.RLock()
        self.sender = Sender(self.link(), self._most_waiting, self._warn)
        self._run = os.urandom(_RUN_BYTES).hex()
        self._numbers = itertools.count(1)

    def after_fork(self) -> None:
        """This is a child: what the parent has open or queued is the parent's."""
        self._begin_anew()


_clients: "weakref.WeakSet[EnergyClient]" = weakref.WeakSet()
_defaults: list[EnergyClient] = []


def default_client() -> EnergyClient:
    """The program's client, made when it is first needed. An address that is none turns it off, with a warning."""
    if not _defaults:
        try:
            _defaults.append(EnergyClient())
        except ValueError as error:
            _warn(f"{URL_VARIABLE} is not used, and no window is told: {error}")
            _defaults.append(EnergyClient(""))
    return _defaults[0]


def use(client: EnergyClient) -> None:
    """Make this the program's client."""
    _defaults.insert(0, client)
    del _defaults[1:]


def _warn(sentence: str) -> None:
    import logging  # noqa: PLC0415 - where all is well there is nothing to say

    logging.getLogger("exporter.client").warning("%s", sentence)


def _after_fork() -> None:
    for client in list(_clients):
        client.after_fork()


def _at_exit() -> None:
    deadline = time.monotonic() + AT_EXIT_SECONDS
    for client in list(_clients):
        client.close(max(deadline - time.monotonic(), 0.0))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
