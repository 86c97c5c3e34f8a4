"""Where requests can be told, by the name that the configuration uses. A new reader is one file and one line here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.domain.lines import Line
from exporter.requests import (
    combined,
    envoy,
    haproxy,
    jsonl,
    kserve,
    llama_cpp_python,
    llamacpp,
    lmdeploy,
    localai,
    ollama,
    otlp,
    proxied,
    push,
    ray,
    sglang,
    tgi,
    torchserve,
    triton,
    uvicorn,
    vllm,
)
from exporter.requests.reader import RequestReader


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A source that is no text.

    Attributes:
        name: the configuration's `source`.
        check: checks its options and the time zone; raises ConfigError.
        knows, advice: as in ReaderKind.
    """

    name: str
    check: Callable[[Mapping[str, Any], str | None], object]
    knows: Mapping[str, str]
    advice: str


@dataclass(frozen=True, slots=True)
class ReaderKind:
    """A kind of log, and what can be had from it.

    Attributes:
        name: the configuration's `source`.
        build: makes a reader from its options and the time zone of stamps without one; raises ConfigError.
        knows: what the log can tell, in words: `start`, `first_token`, `end`, `tokens`, `clock`.
        advice: which flags or settings of the server make it tell more.
        survey: reads a whole finished file beforehand; what it returns is restored into a new reader. None where a
            line says enough by itself.
    """

    name: str
    build: Callable[[Mapping[str, Any], str | None], RequestReader]
    knows: Mapping[str, str]
    advice: str
    survey: Callable[[Iterable[Line]], Mapping[str, Any]] | None = None

    @property
    def check(self) -> Callable[[Mapping[str, Any], str | None], object]:
        """As in SourceKind: options that a reader can be made of are right."""
        return self.build


READERS: Mapping[str, ReaderKind] = {
    kind.name: kind
    for kind in (
        ReaderKind("vllm", vllm.build, vllm.KNOWS, vllm.ADVICE),
        ReaderKind("llamacpp", llamacpp.build, llamacpp.KNOWS, llamacpp.ADVICE, llamacpp.survey),
        ReaderKind("sglang", sglang.build, sglang.KNOWS, sglang.ADVICE),
        ReaderKind("tgi", tgi.build, tgi.KNOWS, tgi.ADVICE),
        ReaderKind("lmdeploy", lmdeploy.build, lmdeploy.KNOWS, lmdeploy.ADVICE),
        ReaderKind("ollama", ollama.build, ollama.KNOWS, ollama.ADVICE),
        ReaderKind("kserve", kserve.build, kserve.KNOWS, kserve.ADVICE),
        ReaderKind("otlp", otlp.build, otlp.KNOWS, otlp.ADVICE),
        ReaderKind("push", push.build, push.KNOWS, push.ADVICE),
        ReaderKind("localai", localai.build, localai.KNOWS, localai.ADVICE),
        ReaderKind("llama_cpp_python", llama_cpp_python.build, llama_cpp_python.KNOWS, llama_cpp_python.ADVICE),
        ReaderKind("jsonl", jsonl.build, jsonl.KNOWS, jsonl.ADVICE),
        ReaderKind("combined", combined.build, combined.KNOWS, combined.ADVICE),
        ReaderKind("haproxy", haproxy.build, haproxy.KNOWS, haproxy.ADVICE),
        ReaderKind("envoy", envoy.build, envoy.KNOWS, envoy.ADVICE),
        ReaderKind("ray", ray.build, ray.KNOWS, ray.ADVICE, ray.survey),
        ReaderKind("torchserve", torchserve.build, torchserve.KNOWS, torchserve.ADVICE),
        ReaderKind("triton", triton.build, triton.KNOWS, triton.ADVICE),
        *(ReaderKind(name, uvicorn.build_for(name), uvicorn.KNOWS, advice) for name, advice in uvicorn.ADVICE.items()),
    )
}

SOURCES: Mapping[str, SourceKind | ReaderKind] = {
    **READERS,
    "proxy": SourceKind("proxy", proxied.check, proxied.KNOWS, proxied.ADVICE),
}
"""Everything that can tell of requests: text, and what passes through our own reverse proxy."""
