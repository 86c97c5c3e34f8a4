"""The server around Transformers' continuous batching: what its log says against what clients were told."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.cli import main as exporter_main
from exporter.domain.events import Completed, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.feeds.families import read
from exporter.requests.fronts import jsonl
from tests.validation.stages import MACHINE
from validation.options import Options
from validation.serving import batching
from validation.serving.batching_server import LOG_OPTIONS, Passage, Server
from validation.serving.gguf import TINY, TINY_QWEN3
from validation.serving.run import Bearing, Served
from validation.stage import Room

ROOM = Bearing(concurrency=4, prompt_tokens=64, output_tokens=16)


@dataclass(frozen=True)
class Said:
    """What an engine says of a request."""

    tokens: list[int]
    finished: bool = False
    started: float | None = None
    ended: float | None = None
    error: str = ""


@dataclass
class FakeEngine:
    """Says at once what it is told to."""

    says: list[Said] = field(default_factory=list)
    takes: bool = True
    cancelled: list[str] = field(default_factory=list)

    def submit(self, _name: str, _prompt: list[int], _tokens: int, hear: Any) -> bool:
        for one in self.says if self.takes else ():
            hear(one)
        return self.takes

    def cancel(self, name: str) -> float | None:
        self.cancelled.append(name)
        return None

    def counts(self) -> tuple[int, int]:
        return 3, 2

    def alive(self) -> bool:
        return self.takes


@asynccontextmanager
async def front(engine: FakeEngine) -> AsyncIterator[tuple[TestClient[Any, Any], io.StringIO]]:
    log = io.StringIO()
    server = Server(engine, "m", 1024, ROOM, log)
    async with TestClient(TestServer(server.application(), handler_cancellation=True)) as client:
        yield client, log


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": [300, 301, 302], "max_tokens": 2, **more}


def understood(record: str) -> Completed:
    now = Instant(time.time())
    heard = jsonl.build(LOG_OPTIONS, None).feed(Line(record, now, now))
    assert isinstance(heard, Used)
    (event,) = heard.events
    assert isinstance(event, Completed)
    return event


async def test_a_request_that_was_served_is_logged_with_its_times_and_tokens() -> None:
    at = time.perf_counter()
    engine = FakeEngine([Said([7], started=at - 2.0), Said([7, 8], finished=True, started=at - 2.0, ended=at)])
    async with front(engine) as (client, log):
        answer = await client.post("/v1/completions", json=asked(), headers={"X-Request-Id": "mine"})
        told = await answer.json()
    assert told["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    event = understood(log.getvalue())
    assert (event.id, event.outcome, event.prompt_tokens, event.output_tokens) == ("mine", "ok", 3, 2)


async def test_an_engine_that_fails_makes_an_error_of_the_request() -> None:
    async with front(FakeEngine([Said([], finished=True, error="out of memory")])) as (client, log):
        for stream in (False, True):
            answer = await client.post("/v1/completions", json=asked(stream=stream))
            assert (answer.status, await answer.text()) == (500, "out of memory")
    assert [json.loads(line)["outcome"] for line in log.getvalue().splitlines()] == ["error", "error"]


async def test_an_engine_that_has_ended_takes_nothing_and_logs_nothing() -> None:
    async with front(FakeEngine(takes=False)) as (client, log):
        assert (await client.post("/v1/completions", json=asked())).status == 503
        assert (await client.get("/health")).status == 503
    assert not log.getvalue()


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": []},
        {"prompt": [1024]},
        {"prompt": [True]},
        {"prompt": [1] * 65},
        {"max_tokens": 17},
        {"max_tokens": 0},
    ],
)
async def test_what_it_cannot_bear_is_refused(wrong: dict[str, Any]) -> None:
    async with front(FakeEngine()) as (client, log):
        assert (await client.post("/v1/completions", json=asked(**wrong))).status == 400
    assert not log.getvalue()


async def test_its_metrics_are_understood() -> None:
    engine = FakeEngine([Said([7, 8], finished=True)])
    async with front(engine) as (client, _):
        await client.post("/v1/completions", json=asked())
        told = read(await (await client.get("/metrics")).text())
    assert told is not None
    assert (told.running, told.waiting, told.prompt_tokens, told.output_tokens) == (3, 2, 3, 2)


async def test_a_request_that_was_never_scheduled_was_queued_all_the_time() -> None:
    passage = Passage("a", 3, arrival=time.time() - 5.0)
    event = understood(json.dumps(passage.record("m")))
    assert event.outcome == "aborted"
    assert event.queued_seconds == pytest.approx(5.0, abs=0.5)
    assert event.end - event.start == pytest.approx(0.0, abs=0.01)


def test_without_the_libraries_or_the_memory_it_says_so() -> None:
    (llama, _) = batching.servers(Options())
    assert llama.name == "transformers-llama-3.1-8b-bf16"
    assert not llama.unable(MACHINE)
    assert "not both installed" in llama.unable(replace(MACHINE, transformers=""))
    assert "4.57.1" in llama.unable(replace(MACHINE, transformers="4.57.1"))
    assert "without CUDA" in llama.unable(replace(MACHINE, torch="2.13.0+cpu"))
    assert "too few" in llama.unable(replace(MACHINE, memory_bytes=16 << 30))


@pytest.mark.parametrize(("gigabytes", "most"), [(141, 64), (48, 43), (24, None), (0, 64)])
def test_less_memory_bears_fewer_requests(gigabytes: int, most: int | None) -> None:
    build = batching.Build("llama-8b", "cuda", Bearing(64, 2048, 1024), 60.0)
    fits = batching.fitting(build, gigabytes * 10**9)
    assert (None if fits is None else fits.concurrency) == most


# With Transformers


@pytest.fixture(scope="module")
def engines() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from validation.serving import batching_engine  # noqa: PLC0415 - PyTorch may not be there

    return batching_engine


@pytest.fixture(scope="module")
def models(engines: Any) -> dict[str, Any]:
    return {shape.architecture: engines.build_model(shape, "cpu") for shape in (TINY, TINY_QWEN3)}


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
@pytest.mark.parametrize("way", ["flash", "sdpa", "eager", "static"])
def test_every_way_says_what_the_plain_model_says(engines: Any, models: Any, way: str, architecture: str) -> None:
    made = engines.make(models[architecture], ROOM, [way])
    made.engine.stop()
    assert (made.way, made.agreed, made.failed) == (way, 1.0, ())


def test_attention_that_sees_the_future_is_refused_and_the_next_way_taken(
    engines: Any, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.paged_flash, "_causal", lambda *_: None)
    made = engines.make(models["llama"], ROOM, ["flash", "sdpa"])
    made.engine.stop()
    assert made.way == "sdpa"
    assert "plain model" in made.failed[0]


def test_where_no_way_works_each_says_why(engines: Any, models: Any) -> None:
    with pytest.raises(engines.NoEngineError, match="flash-graphs: "):
        engines.make(models["llama"], ROOM, ["flash-graphs"])


def test_agreement_ends_where_rows_part(engines: Any) -> None:
    assert engines.agreement([[1, 2, 3]], [[1, 2, 3]]) == 1.0
    assert engines.agreement([[1, 9, 9, 9], [1, 2, 3, 4]], [[1, 2, 3, 4]] * 2) == pytest.approx(5 / 6)
    assert engines.agreement([[1, 9], [1, 9]], [[1, 2]] * 2) == 0.5


# The whole


@dataclass
class Truth:
    """What a client knows of its request."""

    id: str
    prompt: int
    asked: int
    chunks: int = 0
    words: int = 0
    usage: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    for library in ("torch", "transformers"):
        pytest.importorskip(library)
    folder = tmp_path_factory.mktemp("batching")
    (server,) = batching.servers(Options(fake=True))
    now = time.monotonic
    room = Room(folder, folder, now() + 120.0, now, time.sleep, replace(MACHINE, fake=True), print)
    try:
        yield server.start(room)
        assert server.alive()
    finally:
        server.stop()
    assert not server.alive()
    assert not any(folder.iterdir())


async def complete(session: aiohttp.ClientSession, served: Served, truth: Truth, leave_after: int = 1 << 30) -> None:
    body = {
        "model": served.model,
        "prompt": [served.first_token + at % served.tokens for at in range(truth.prompt)],
        "max_tokens": truth.asked,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
    }
    headers = {"X-Request-Id": truth.id}
    async with session.post(f"{served.url}/v1/completions", json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line.removeprefix(b"data: "))
            truth.words += len(chunk["choices"][0]["text"].split())
            truth.usage = chunk.get("usage") or truth.usage
            truth.chunks += 1
            if truth.chunks >= leave_after:
                return  # closes the connection: the answer is not over


async def records(log: Path, many: int) -> list[dict[str, Any]]:
    """What the log has, once it has so many."""
    until = time.monotonic() + 20.0
    while len(told := lines_of(log)) < many:
        assert time.monotonic() < until, told
        await asyncio.sleep(0.02)
    return told


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def parsed(log: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """The log by the exporter's own command."""
    options = [f"--option={name}={json.dumps(value)}" for name, value in LOG_OPTIONS.items()]
    capsys.readouterr()
    assert exporter_main(["parse", "--source", "jsonl", *options, str(log)]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {event["id"]: event for event in events}


@pytest.mark.e2e
async def test_clients_and_log_agree_on_every_token_of_overlapping_requests(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    truths = [Truth(f"together-{at}", prompt=5 + 20 * at, asked=40 + 10 * at) for at in range(8)]
    gone = Truth("gone", prompt=30, asked=256)
    async with aiohttp.ClientSession() as session:
        everyone = [complete(session, served, truth) for truth in truths]
        await asyncio.gather(*everyone, complete(session, served, gone, leave_after=2))
        lines = await records(served.log, 9)
        told = read(await (await session.get(str(served.metrics_url))).text())
    for truth in truths:
        assert (truth.words, truth.usage["completion_tokens"]) == (truth.asked, truth.asked)
        assert truth.usage["prompt_tokens"] == truth.prompt
        assert truth.chunks > 2, "it streams"
    by_id = {line["id"]: line for line in lines}
    assert by_id["gone"]["outcome"] == "aborted"
    assert gone.words <= by_id["gone"]["output_tokens"] < gone.asked
    starts = [by_id[truth.id]["arrival"] + by_id[truth.id]["queued"] for truth in truths]
    assert max(starts) < min(by_id[truth.id]["end"] for truth in truths), "they ran together"
    assert told is not None
    assert told.output_tokens == sum(line["output_tokens"] for line in lines)
    assert (told.running, told.waiting) == (0, 0)
    events = parsed(served.log, capsys)
    for truth in truths:
        event = events[truth.id]
        assert (event["prompt_tokens"], event["output_tokens"]) == (truth.prompt, truth.asked)
        assert event["outcome"] == "ok"
        assert event["start"] < event["first_token"] < event["end"]
    assert events["gone"]["outcome"] == "aborted"


@pytest.mark.e2e
def test_its_start_says_how_attention_is_computed(served: Served) -> None:
    (check,) = served.checks
    assert check.held
    assert "flash, 100% of tokens agree, on cpu" in check.found
    assert served.bearing == Bearing(8, 256, 256)
