"""From a file to frozen settings."""

import os
from collections.abc import Mapping
from pathlib import Path

from exporter.config import quantities
from exporter.config.checks import Readers
from exporter.config.document import read
from exporter.config.layout import layout
from exporter.domain.errors import ConfigError
from exporter.domain.settings import ListenAddress, Settings


def load(path: Path, readers: Readers, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read a configuration file.

    Args:
        path: the file.
        readers: every request reader there is; each checks the options that are its own.
        environment: what `${NAME}` means.

    Raises:
        ConfigError: with all that is wrong in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("", f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("", f"{path}: is no UTF-8 text (byte {error.start})") from error
    return parse(text, environment, readers, file=str(path))


def parse(text: str, environment: Mapping[str, str], readers: Readers, file: str = "configuration") -> Settings:
    """Read a configuration from its text. Nothing in it means every default."""
    document = read(text, environment, file)
    settings = layout(readers).read({} if document is None else document, "")
    assert isinstance(settings, Settings)
    return settings


def parse_address(text: str) -> ListenAddress:
    """`HOST:PORT`, as `listen` and `--listen` take it.

    Raises:
        ConfigError: it is no such thing.
    """
    address = quantities.address().read(text, "listen")
    assert isinstance(address, ListenAddress)
    return address
