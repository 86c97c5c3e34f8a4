"""Where requests can be told, by the name that the configuration uses. A new reader is one file and one line here.

The line is the reader's name, and so is its file's. A file is imported when something of it is first asked for: most
exporters read one kind of log, and the others would cost them a megabyte and a tenth of a second.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from exporter.domain.lines import Line
from exporter.requests.reader import RequestReader

Survey = Callable[[Iterable[Line]], Mapping[str, Any]]


class _SourceModule(Protocol):
    """What the file of any source has."""

    KNOWS: Mapping[str, str]
    ADVICE: str

    def check(self, options: Mapping[str, Any], timezone: str | None) -> object: ...


class _ReaderModule(Protocol):
    """What a reader's file has instead of `check`, and maybe `survey`."""

    def build(self, options: Mapping[str, Any], timezone: str | None) -> RequestReader: ...


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A source that is no text.

    Attributes:
        name: the configuration's `source`.
        module: its file, from this folder on.
    """

    name: str
    module: str

    @property
    def knows(self) -> Mapping[str, str]:
        """What it can tell, in words: `start`, `first_token`, `end`, `tokens`, `clock`."""
        return cast("_SourceModule", self._loaded()).KNOWS

    @property
    def advice(self) -> str:
        """Which flags or settings of the server make it tell more."""
        return cast("_SourceModule", self._loaded()).ADVICE

    def check(self, options: Mapping[str, Any], timezone: str | None) -> object:
        """Check its options and the time zone of stamps without one.

        Raises:
            ConfigError: one of them is wrong.
        """
        return cast("_SourceModule", self._loaded()).check(options, timezone)

    def _loaded(self) -> object:
        return import_module(f"{__package__}.{self.module}")


@dataclass(frozen=True, slots=True)
class ReaderKind(SourceKind):
    """A kind of log, and what can be had from it."""

    def build(self, options: Mapping[str, Any], timezone: str | None) -> RequestReader:
        """Make a reader from its options and the time zone of stamps without one.

        Raises:
            ConfigError: one of them is wrong.
        """
        return cast("_ReaderModule", self._loaded()).build(options, timezone)

    def check(self, options: Mapping[str, Any], timezone: str | None) -> object:
        """As in SourceKind: options that a reader can be made of are right."""
        return self.build(options, timezone)

    @property
    def survey(self) -> Survey | None:
        """Reads a whole finished file beforehand; what it returns is restored into a new reader.

        None where a line says enough by itself.
        """
        return cast("Survey | None", getattr(self._loaded(), "survey", None))


_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "servers": (
        "vllm",
        "llamacpp",
        "sglang",
        "tgi",
        "lmdeploy",
        "ollama",
        "kserve",
        "localai",
        "llama_cpp_python",
        "ray",
        "torchserve",
        "triton",
        "transformers",
        "litellm",
        "trtllm",
    ),
    "fronts": ("jsonl", "combined", "haproxy", "envoy"),
    "posted": ("otlp", "push"),
}

READERS: Mapping[str, ReaderKind] = {
    name: ReaderKind(name, f"{folder}.{name}") for folder, names in _FOLDERS.items() for name in names
}

SOURCES: Mapping[str, SourceKind | ReaderKind] = {**READERS, "proxy": SourceKind("proxy", "posted.proxied")}
"""Everything that can tell of requests: text, and what passes through our own reverse proxy."""
