"""Calibrations over HTTP: what there is, and each as its file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.proxy.calibration.calibration import Calibration, from_json
from exporter.server import build
from tests.proxy.calibrations import CALIBRATION, DATE
from tests.server.conftest import Client, Exporter

OTHER = replace(CALIBRATION, key=replace(CALIBRATION.key, model="qwen/3 8b&x=1"))
PATH = "/api/v1/calibration"


async def ask(exporter: Exporter, calibrations: Mapping[str, Sequence[Calibration]], path: str) -> tuple[int, str, str]:
    app = build(exporter.published, exporter.ready, exporter.faults.append, lambda: calibrations)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(path)
        return answer.status, answer.content_type, await answer.text()


async def test_without_any_the_list_is_empty(client: Client) -> None:
    answer = await client.get(PATH)
    assert (answer.status, await answer.json()) == (200, {"calibrations": []})


async def test_each_is_listed_with_where_to_get_it(exporter: Exporter) -> None:
    app = build(exporter.published, exporter.ready, exporter.faults.append, lambda: {"chat": [CALIBRATION, OTHER]})
    async with TestClient(TestServer(app)) as client:
        listed = (await (await client.get(PATH)).json())["calibrations"]
        assert listed[0] == {
            "server": "chat",
            "model": "llama-3.1-8b",
            "gpu": "NVIDIA H200",
            "gpus": 2,
            "method": "measured",
            "date": DATE,
            "proxies": ["step_model", "time_share"],
            "path": f"{PATH}?server=chat&model=llama-3.1-8b",
        }
        texts = [await (await client.get(one["path"])).text() for one in listed]
    assert [from_json(text) for text in texts] == [CALIBRATION, OTHER]


@pytest.mark.parametrize("query", ["server=chat", "model=llama-3.1-8b", "server=chat&model=llama-3.1-8b"])
async def test_one_is_told_whole_as_its_file(exporter: Exporter, query: str) -> None:
    status, kind, text = await ask(exporter, {"chat": [CALIBRATION]}, f"{PATH}?{query}")
    assert (status, kind) == (200, "application/json")
    assert from_json(text) == CALIBRATION


async def test_of_several_one_must_be_chosen(exporter: Exporter) -> None:
    status, _, text = await ask(exporter, {"a": [CALIBRATION], "b": [CALIBRATION]}, f"{PATH}?model=llama-3.1-8b")
    assert status == 400
    assert text == f"2 calibrations fit: choose one of {PATH} by ?server=...&model=...\n"


async def test_what_is_not_there_is_not_found(exporter: Exporter) -> None:
    assert (await ask(exporter, {"chat": [CALIBRATION]}, f"{PATH}?server=other"))[0] == 404
