"""What docs/CLIENT.md shows works as it is written."""

import re
from pathlib import Path
from typing import Any

import pytest

from exporter.cli.settings import CHECKS
from exporter.client import EnergyClient, use
from exporter.client import client as client_module
from exporter.client.client import AT_EXIT_SECONDS, MOST_WAITING
from exporter.client.energy import AWAY_SECONDS
from exporter.config import parse
from exporter.pipeline import pipeline
from tests.client.listener import Hand, Listener, client_of, receipt

PAGE = (Path(__file__).parents[2] / "docs" / "CLIENT.md").read_text()
WITH, DECORATED, ASYNCHRONOUS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class _Everything(dict[str, Any]):
    """A receipt for whoever asks."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - as a dictionary's
        return receipt(key, 2.0)

    def values(self) -> Any:
        return []


@pytest.fixture
def told(listener: Listener, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setattr(client_module, "_defaults", [])
    listener.receipts = _Everything()
    use(client_of(listener, hand))
    return listener


def names(listener: Listener, client: EnergyClient) -> list[str]:
    assert client.flush()
    return [line["id"].partition("/")[0] for line in listener.wholes]


def test_its_configuration_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (server,) = parse(text, {}, CHECKS).servers
    assert [one.source for one in server.requests] == ["push"]


def test_windows_inside_each_other_work(told: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    exec(WITH, {"batches": [1, 2], "train": lambda _: None})  # noqa: S102 - our own page
    assert names(told, client_module.default_client()) == ["step", "step", "epoch"]
    assert "joules=6.0" in capsys.readouterr().out


def test_the_decorator_works(told: Listener) -> None:
    scope: dict[str, Any] = {}
    exec(DECORATED, scope)  # noqa: S102 - our own page
    scope["evaluate"]()
    assert names(told, client_module.default_client()) == ["evaluate"]


async def test_asynchronous_code_works(told: Listener) -> None:
    async def generate(question: str) -> int:
        return len(question)

    scope: dict[str, Any] = {"generate": generate}
    exec(ASYNCHRONOUS, scope)  # noqa: S102 - our own page
    assert [energy.joules for energy in await scope["answers"](["a", "bb"])] == [2.0, 2.0]
    assert sorted(line["output_tokens"] for line in told.wholes) == [1, 2]


def test_its_figures_are_those_of_the_program() -> None:
    assert f"{MOST_WAITING:,} notes".replace(",", " ") in PAGE
    assert f"{pipeline._RECENT} others have settled" in PAGE
    assert AT_EXIT_SECONDS == 1.5
    assert "a second and a half" in PAGE
    assert AWAY_SECONDS == 3.0
    assert "for three seconds" in PAGE
