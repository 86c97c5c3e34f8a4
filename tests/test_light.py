"""An exporter loads what its configuration needs: the readers of other servers, and libraries for few, stay on disk."""

import json
import subprocess
import sys

import pytest

from exporter.requests.registry import READERS

FOR_FEW = frozenset({"google", "opentelemetry", "cryptography", "pyarrow", "psutil", "jsonschema"})
"""Libraries that some sources, sensors or commands use, or that only happen to be installed."""


def loaded_by(program: str) -> frozenset[str]:
    program += "; import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return frozenset(json.loads(done.stdout))


def readers_in(modules: frozenset[str]) -> frozenset[str]:
    return frozenset(kind.name for kind in READERS.values() if f"exporter.requests.{kind.module}" in modules)


@pytest.fixture(scope="module")
def app() -> frozenset[str]:
    return loaded_by("import exporter.app, exporter.cli.settings")


def test_the_app_loads_no_library_that_few_need(app: frozenset[str]) -> None:
    assert {name.partition(".")[0] for name in app} & FOR_FEW == set()


def test_the_app_loads_no_reader_before_it_is_asked_for(app: frozenset[str]) -> None:
    assert readers_in(app) == frozenset()


@pytest.mark.parametrize(
    "name",
    [
        "exporter.gateway",
        "exporter.requests.arrival.kubernetes",
        "exporter.doctor",
        "exporter.dissections",
        "exporter.recording",
        "exporter.feeds.joined",
        "exporter.feeds.gauges",
        "exporter.server.access",
        "exporter.server.traces",
        "exporter.server.events",
        "exporter.server.page",
    ],
)
def test_the_app_loads_no_way_in_no_page_and_no_command_that_is_not_used(app: frozenset[str], name: str) -> None:
    assert name not in app


def test_checking_a_readers_options_loads_no_other_reader() -> None:
    modules = loaded_by("from exporter.cli.settings import CHECKS; CHECKS['llamacpp']({}, None)")
    assert readers_in(modules) == {"llamacpp"}


def test_spans_in_json_are_read_without_protobuf() -> None:
    modules = loaded_by("from exporter.requests.registry import READERS; READERS['otlp'].build({}, None)")
    assert "exporter.requests.posted.otlp" in modules
    assert not any(name.startswith("google.protobuf") for name in modules)
