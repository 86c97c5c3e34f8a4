"""The web configuration file that is in force, read again whenever it or a file that it names has changed.

It is looked at when a connection is made and when a request is answered: the certificate that cert-manager has just
renewed is the next client's. A file that cannot be used changes nothing but a metric and a line in the log.
"""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.config.webfile import WebFile, parse
from exporter.domain.errors import ConfigError
from exporter.server.access.tls import Dates, Material, Renewed, context_for, dates_of, material_of, read_bounded

_log = logging.getLogger(__name__)

_Stamp = tuple[int, ...] | str
"""What changes when a file does; or why it cannot be looked at."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that can be used, with what it names. `context`, `material` and `dates` are None without TLS."""

    file: WebFile
    context: ssl.SSLContext | None = None
    material: Material | None = None
    dates: Dates | None = None


def load(path: Path, *, must_show: bool = True) -> Loaded:
    """Read the file and what it names. `must_show` as for `context_for`.

    Raises:
        ConfigError: it cannot be used; names the file and the key.
    """
    return _with_certificates(_parsed(path), path, must_show=must_show)


class InForce:
    """The file in force.

    Attributes:
        loaded: it. good: whether it is what stands in the file now.
    """

    def __init__(self, path: Path, *, must_show: bool = True) -> None:
        """Read it.

        Raises:
            ConfigError: it cannot be used.
        """
        self._path = path
        self._must_show = must_show
        self._stamps: Mapping[Path, _Stamp] = {path: ""}
        self.loaded = self._read()
        self.good = True

    def now(self) -> Loaded:
        """What is in force now. Never raises: what cannot be used leaves it as it was."""
        if any(_stamp(path) != stamp for path, stamp in self._stamps.items()):
            self._again()
        return self.loaded

    def tls(self) -> ssl.SSLContext | None:
        """What to listen with; None without TLS."""
        return Renewed(self._context) if self.loaded.context is not None else None

    def _context(self) -> ssl.SSLContext:
        context = self.now().context
        assert context is not None, "TLS is neither begun nor ended while we listen"
        return context

    def _again(self) -> None:
        try:
            loaded = self._like_before(self._read())
        except ConfigError as error:
            self.good = False
            _log.error("web.config_file: %s; what was read before stays in force", error)
        else:
            self.loaded, self.good = loaded, True
            _log.info("web.config_file: %s, or what it names, was read again", self._path)

    def _like_before(self, loaded: Loaded) -> Loaded:
        """Whoever listens does so with TLS or without it."""
        if (loaded.context is None) != (self.loaded.context is None):
            raise ConfigError("", f"{self._path}: tls_server_config: begins and ends with a restart only")
        return loaded

    def _read(self) -> Loaded:
        """As `load` does; what the file names is watched from now on, be it good or not."""
        before = self._stamps = {path: _stamp(path) for path in self._stamps}  # what changes while we read, is seen
        file = _parsed(self._path)
        watched = (self._path, *(file.tls.files if file.tls is not None else ()))
        self._stamps = {path: before[path] if path in before else _stamp(path) for path in watched}
        return _with_certificates(file, self._path, must_show=self._must_show)


def _parsed(path: Path) -> WebFile:
    try:
        content = read_bounded(path)
    except OSError as error:
        raise ConfigError("", f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError("", f"{path} {error}") from None
    return parse(content, path)


def _with_certificates(file: WebFile, path: Path, *, must_show: bool) -> Loaded:
    if file.tls is None or not file.tls.is_on:
        return Loaded(file)
    try:
        material = material_of(file.tls)
        return Loaded(file, context_for(file.tls, material, must_show=must_show), material, dates_of(material))
    except ConfigError as error:
        raise ConfigError("", f"{path}: {error}") from None


def _stamp(path: Path) -> _Stamp:
    try:
        is_now = path.stat()
    except OSError as error:
        return error.strerror or "unknown"
    return (is_now.st_dev, is_now.st_ino, is_now.st_size, is_now.st_mtime_ns, is_now.st_ctime_ns)
