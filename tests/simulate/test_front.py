"""The front as a client meets it: a real HTTP server on a free port."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import numpy as np
import pytest

from exporter.clock import SystemClock
from exporter.domain.errors import ListenError
from exporter.domain.settings import ListenAddress
from exporter.simulate.desk import Desk
from exporter.simulate.front import Front, serve_front
from exporter.simulate.plan import Plan
from exporter.simulate.simulation import Simulation

QUIET = Plan(load="none", gpus=1)
MODEL = "simulated/llama-3.1-8b"
CHAT = {"messages": [{"role": "user", "content": "Hello there"}]}
LONG = CHAT | {"max_tokens": 8000, "ignore_eos": True, "stream": True}


@dataclass
class Served:
    """A front that serves, and what is behind it."""

    url: str
    session: aiohttp.ClientSession
    simulation: Simulation

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.session.post(f"{self.url}{path}", json=body) as response:
            assert "X-Simulated" in response.headers
            return response.status, await response.json()

    async def events(self, path: str, body: Any) -> list[str]:
        async with self.session.post(f"{self.url}{path}", json=body) as response:
            assert "X-Simulated" in response.headers
            assert response.content_type == "text/event-stream"
            text = await response.text()
        return [line.removeprefix("data: ") for line in text.split("\n\n") if line]

    async def until(self, running: int) -> None:
        """Wait until so many requests are here."""
        async with asyncio.timeout(20.0):
            while self.simulation.present != running:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


@asynccontextmanager
async def served(directory: Path, plan: Plan = QUIET) -> AsyncIterator[Served]:
    clock = SystemClock()
    simulation = Simulation(plan, directory, clock.now(), 0.0, lambda _: None)
    desk = Desk(simulation.fleet, clock.now)
    front = Front(plan.served_model, desk, simulation.gauges, clock.now, np.random.default_rng(1))

    async def tick() -> None:
        while True:
            simulation.tick(clock.now())
            desk.look()
            await asyncio.sleep(0.005)

    runner = await serve_front(front.application(), ListenAddress("127.0.0.1", 0))
    ticking = asyncio.create_task(tick())
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            yield Served("http://{}:{}".format(*runner.addresses[0][:2]), session, simulation)
    finally:
        await runner.cleanup()
        ticking.cancel()
        simulation.close()


async def test_a_chat_is_answered_with_filler_and_true_counts(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        status, body = await front.post("/v1/chat/completions", CHAT | {"max_tokens": 6, "ignore_eos": True})
    assert status == 200
    assert body["model"] == MODEL
    assert body["choices"][0]["message"]["content"].split() == ["simulated"] * 6
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}


async def test_an_answer_of_no_given_length_ends_by_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        status, body = await front.post("/v1/completions", {"prompt": "Hello"})
    assert (status, body["object"], body["choices"][0]["finish_reason"]) == (200, "text_completion", "stop")
    assert len(body["choices"][0]["text"].split()) == body["usage"]["completion_tokens"] >= 10


async def test_a_stream_comes_token_by_token_and_ends_with_usage_and_done(tmp_path: Path) -> None:
    body = CHAT | {"max_tokens": 5, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    async with served(tmp_path) as front:
        events = await front.events("/v1/chat/completions", body)
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    usage = chunks.pop()
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 5)
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert deltas == ["", *[" simulated"] * 5, None]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 6 + ["length"]


async def test_a_streamed_completion_says_nothing_of_usage_unless_asked(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        events = await front.events("/v1/completions", {"prompt": "Hello", "max_tokens": 3, "stream": True})
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == " simulated" * 3
    assert not any("usage" in chunk for chunk in chunks)


async def test_a_client_that_goes_away_is_aborted_on_the_engine(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        async with front.session.post(f"{front.url}/v1/chat/completions", json=LONG) as response:
            await response.content.readline()
            await front.until(running=1)
            response.close()
        await front.until(running=0)
        aborted = sum(gauges.finished["abort"] for gauges in front.simulation.gauges)
        log = (tmp_path / "simulated-0" / "vllm.log").read_text()
    assert aborted == 1
    assert "Aborted request(s) chatcmpl-" in log


async def test_a_client_that_waits_for_a_whole_answer_can_go_away_too(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        asking = asyncio.create_task(front.post("/v1/chat/completions", LONG | {"stream": False}))
        await front.until(running=1)
        asking.cancel()
        await front.until(running=0)


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/chat/completions", {}, 400, "messages"),
        ("/v1/chat/completions", [], 400, None),
        ("/v1/completions", {"prompt": 3}, 400, "prompt"),
        ("/v1/completions", {"prompt": "a", "model": "other"}, 404, "model"),
        ("/v1/embeddings", {"input": "a"}, 404, None),
    ],
)
async def test_refusals_have_openais_form(tmp_path: Path, path: str, body: Any, status: int, param: str | None) -> None:
    async with served(tmp_path) as front:
        got, answer = await front.post(path, body)
    assert got == status
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    assert (answer["error"]["code"], answer["error"]["param"]) == (status, param)


async def test_full_queues_answer_429_and_servers_that_are_away_503(tmp_path: Path) -> None:
    async with served(tmp_path, replace(QUIET, load="overload", rate=1000.0)) as front:
        await asyncio.sleep(0)
        fleet, now = front.simulation.fleet, SystemClock().now()
        fleet.advance(type(now)(now + 60.0))
        status, answer = await front.post("/v1/chat/completions", CHAT)
        assert (status, answer["error"]["type"]) == (429, "RateLimitError")
        fleet.hang_up(now)
        status, answer = await front.post("/v1/chat/completions", CHAT)
        assert (status, answer["error"]["type"]) == (503, "ServiceUnavailableError")


async def test_a_server_that_dies_says_so_to_whoever_waits(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        streaming = asyncio.create_task(front.events("/v1/chat/completions", LONG))
        waiting = asyncio.create_task(front.post("/v1/chat/completions", LONG | {"stream": False}))
        await front.until(running=2)
        fleet = front.simulation.fleet
        fleet.crash(fleet.replicas[0], SystemClock().now(), 1.0)
        events, (status, body) = await streaming, await waiting
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["error"]["code"] == 500
    assert (status, body["error"]["code"]) == (500, 500)


async def test_models_health_and_metrics_are_there_and_say_what_they_are(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        for path in ("/health", "/metrics", "/v1/models"):
            async with front.session.get(f"{front.url}{path}") as response:
                assert response.status == 200
                assert "X-Simulated" in response.headers
                text = await response.text()
    assert [model["id"] for model in json.loads(text)["data"]] == [MODEL]


async def test_a_port_that_is_taken_is_told_with_the_option_to_change(tmp_path: Path) -> None:
    async with served(tmp_path) as front:
        port = int(front.url.rpartition(":")[2])
        with pytest.raises(ListenError, match="--port"):
            await serve_front(aiohttp.web.Application(), ListenAddress("127.0.0.1", port))
