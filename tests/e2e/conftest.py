import os
import shutil
from collections.abc import Iterator
from typing import NoReturn

import pytest

from exporter.demo.inference import InferenceError, RunningInference, find_inference, running
from tests.e2e.fronts import find_haproxy, find_nginx
from tests.e2e.prometheus import find_prometheus


@pytest.fixture(scope="session")
def llama_server() -> Iterator[RunningInference]:
    """A real llama-server with a real small model, the same for all tests."""
    try:
        inference = find_inference()
    except InferenceError as error:
        _not_here(str(error))
    with running(inference) as server:
        yield server


@pytest.fixture(scope="session")
def nginx_program() -> str:
    return find_nginx() or _not_here("nginx is not installed: apt-get install nginx")


@pytest.fixture(scope="session")
def haproxy_program() -> str:
    return find_haproxy() or _not_here("HAProxy is not installed: apt-get install haproxy")


@pytest.fixture(scope="session")
def prometheus_program() -> str:
    program = find_prometheus()
    return program or _not_here("Prometheus is not installed: apt-get install prometheus")


@pytest.fixture(scope="session")
def promtool() -> str:
    program = shutil.which("promtool")
    return program or _not_here("promtool is not installed: apt-get install prometheus")


def _not_here(why: str) -> NoReturn:
    """A laptop may lack a program; continuous integration may not, or nobody would notice."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
