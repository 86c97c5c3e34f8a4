"""Whatever the file holds: settings, or a ConfigError."""

import contextlib
from collections.abc import Mapping
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Readers, parse, quantities
from exporter.domain.durations import written_duration
from exporter.domain.errors import ConfigError
from exporter.domain.settings import Settings


def takes_anything(_options: Mapping[str, Any], _timezone: str | None) -> None:
    """A reader without options to get wrong."""


READERS: Readers = {"vllm": takes_anything}

KEYS = [
    *("listen", "power", "source", "interval", "gpus", "cpu", "idle_watts", "max_watts", "servers", "name", "model"),
    *(
        "requests",
        "path",
        "start",
        "timezone",
        "attribution",
        "policy",
        "idle",
        "slice",
        "settle",
        "horizon",
        "buckets",
    ),
    *("energy", "duration", "energy_per_token", "state_dir", "web", "gpu0", "<<"),
    *("proxies", "scoring", "window", "calibration", "about", "engine", "dtype", "parallelism"),
]
WORDS = [
    *("all", "auto", "nvml", "rapl", "cpu", "vllm", "end", "beginning", "time", "tokens", "steps", "active", "exclude"),
    *("50ms", "2s", "15m", "1d", "60W", ":80", "0:1", "UTC", "America", "../etc", "-", "00:1", "1e999", "010", "0x1F"),
    *("1_000", ".inf", ".nan", "~", "${A}", "${A:-1}", "${", "$${", "!!int", "!!str", "!!bool", "&", "*", "&a", "*a"),
]

scalars = st.sampled_from(WORDS) | st.text() | st.integers() | st.floats() | st.booleans() | st.none()
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | scalars, inner, max_size=6),
    max_leaves=20,
)


def is_settings_or_refusal(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse(text, {"A": "7"}, READERS), Settings)


@given(documents)
def test_any_document_is_settings_or_is_refused(document: Any) -> None:
    is_settings_or_refusal(yaml.safe_dump(document))


@given(st.dictionaries(st.sampled_from(KEYS), documents, max_size=6))
def test_any_mapping_of_known_keys_is_settings_or_is_refused(document: Any) -> None:
    is_settings_or_refusal(yaml.safe_dump(document, default_flow_style=True))


@given(st.text())
def test_any_text_is_settings_or_is_refused(text: str) -> None:
    is_settings_or_refusal(text)


@given(
    st.lists(st.sampled_from([*WORDS, *KEYS, "\n", "\n  ", ": ", ", ", "{", "}", "[", "]", "- ", " ", "'", '"', "? "]))
)
def test_any_heap_of_yaml_is_settings_or_is_refused(pieces: list[str]) -> None:
    is_settings_or_refusal("".join(pieces))


@given(st.integers(1, 10**9), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_written_so_that_it_is_read_as_the_same(number: int, unit: str) -> None:
    length = quantities.seconds(f"{number}{unit}")
    assert quantities.seconds(written_duration(length)) == length
