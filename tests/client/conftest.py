from collections.abc import Iterator

import pytest

from exporter.client import EnergyClient
from tests.client.listener import Hand, Listener, client_of, listening


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as one:
        yield one


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def client(listener: Listener, hand: Hand) -> Iterator[EnergyClient]:
    with client_of(listener, hand, timeout=5.0) as one:
        yield one
