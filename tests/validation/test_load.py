"""What clients know of requests: exact where the answer was whole, and honest where it was not."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from validation.serving.load import Load, loading, warmed_up
from validation.serving.plan import Class, LoadPlan, PhasePlan, Stream, Together
from validation.serving.run import Bearing, Served, ServerFailedError

Answer = Callable[[web.Request, web.StreamResponse, dict[str, object]], Awaitable[None]]
FOUR = Class("b4", 5, 3)


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def text(words: str) -> bytes:
    return event(choices=[{"text": words, "index": 0, "finish_reason": None}])


def usage(body: dict[str, object]) -> bytes:
    prompt = body["prompt"]
    assert isinstance(prompt, list)
    told = {"prompt_tokens": len(prompt), "completion_tokens": body["max_tokens"]}
    return event(choices=[{"text": "", "index": 0, "finish_reason": "length"}], usage=told) + b"data: [DONE]\n\n"


async def whole(_: web.Request, response: web.StreamResponse, body: dict[str, object]) -> None:
    await response.write(text(" ab"))
    await response.write(usage(body))


async def cut(_: web.Request, response: web.StreamResponse, __: dict[str, object]) -> None:
    await response.write(text(" ab"))


async def silent(_: web.Request, __: web.StreamResponse, ___: dict[str, object]) -> None:
    await asyncio.sleep(60.0)


async def broken(_: web.Request, response: web.StreamResponse, __: dict[str, object]) -> None:
    await response.write(event(error={"message": "out of memory"}))


class Serving:
    """A server that answers in one way and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.bodies, self.ids = answer, list[dict[str, object]](), list[str]()
        self.at_once = self.most_at_once = 0
        self.up = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.ids.append(request.headers["X-Request-Id"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(0.02)
            await self.answer(request, response, body)
            return response
        finally:
            self.at_once -= 1


@asynccontextmanager
async def load_on(serving: Serving, seconds: float = 20.0, concurrency: int = 4) -> AsyncIterator[Load]:
    app = web.Application()
    app.router.add_post("/v1/completions", serving.handle)
    async with TestServer(app) as server:
        served = Served(
            url=str(server.make_url("/")).rstrip("/"),
            pid=0,
            model="m",
            log=Path("log"),
            source="llamacpp",
            first_token=100,
            tokens=50,
            bearing=Bearing(concurrency, 64, 32),
        )
        async with loading(served, time.time() + seconds, lambda: serving.up) as load:
            yield load


async def test_a_whole_answer_is_told_with_its_tokens_and_instants() -> None:
    serving = Serving(whole)
    async with load_on(serving) as load:
        truth = await load.ask("isolated", FOUR)
    assert (truth.outcome, truth.why) == ("ok", "")
    assert (truth.prompt_tokens, truth.asked_tokens, truth.output_tokens) == (5, 3, 3)
    assert truth.first_token is not None
    assert truth.start < truth.first_token <= truth.end
    assert serving.ids == [truth.id]
    assert load.told.requests == [truth]


async def test_prompts_are_ordinary_tokens_that_no_cache_has_seen() -> None:
    serving = Serving(whole)
    async with load_on(serving) as load:
        for _ in range(3):
            await load.ask("isolated", Class("", 20, 3))
    prompts = [tuple(body["prompt"]) for body in serving.bodies if isinstance(body["prompt"], list)]
    assert len(set(prompts)) == 3
    assert all(100 <= token < 150 for prompt in prompts for token in prompt)
    assert all(body["ignore_eos"] is True and body["cache_prompt"] is False for body in serving.bodies)


@pytest.mark.parametrize(("answer", "why"), [(cut, "ended too early"), (broken, "broke off with an error")])
async def test_an_answer_that_is_not_whole_is_an_error_that_says_why(answer: Answer, why: str) -> None:
    async with load_on(Serving(answer)) as load:
        truth = await load.ask("isolated", FOUR)
    assert truth.outcome == "error"
    assert why in truth.why
    assert truth.output_tokens is None


async def test_a_server_that_is_not_there_is_an_error() -> None:
    async with load_on(Serving(whole)) as load:
        load.served = Served("http://127.0.0.1:9", 0, "m", Path("log"), "llamacpp")
        truth = await load.ask("isolated", FOUR)
    assert truth.outcome == "error"
    assert "broke off" in truth.why


async def test_what_still_runs_at_the_deadline_is_hung_up_on() -> None:
    async with load_on(Serving(silent), seconds=2.2) as load:
        truth = await load.ask("isolated", FOUR)
    assert (truth.outcome, truth.first_token, truth.output_tokens) == ("aborted", None, None)
    assert truth.end < load.until


async def test_a_batch_is_sent_at_once() -> None:
    serving = Serving(whole)
    async with load_on(serving) as load:
        phase = await load.phase(PhasePlan("identical", "identical", (Together(FOUR, 4, 0.0),), 1.0))
    assert serving.most_at_once == 4
    assert phase.concurrency == 4
    assert {one.group for one in load.told.requests} == {"b4"}
    assert phase.began <= min(one.start for one in load.told.requests)
    assert max(one.end for one in load.told.requests) <= phase.ended


async def test_a_stream_keeps_its_concurrency_and_its_shares() -> None:
    serving = Serving(whole)
    classes = (Class("prefill", 8, 3, 0.25), Class("decode", 4, 3, 0.75))
    async with load_on(serving) as load:
        await load.phase(PhasePlan("mix-0", "mix", (Stream(classes, 3, 0.4, 0.0),), 1.0))
    groups = [one.group for one in load.told.requests]
    assert serving.most_at_once == 3
    assert groups.count("decode") / len(groups) == pytest.approx(0.75, abs=0.15)


async def test_phases_for_which_no_time_is_left_are_named_and_not_begun() -> None:
    serving = Serving(whole)
    short = PhasePlan("short", "isolated", (Together(FOUR, 1, 0.0),), 0.1)
    long = PhasePlan("long", "mix", (Together(FOUR, 1, 0.0),), 100.0)
    async with load_on(serving, seconds=10.0) as load:
        await load.run(LoadPlan("p", (long, short), ("ramp",)))
    assert [phase.name for phase in load.told.phases] == ["short"]
    assert load.told.missing == ["no time for ramp", "long: no time is left"]


async def test_a_server_that_died_is_asked_no_more() -> None:
    serving = Serving(whole)
    async with load_on(serving) as load:
        serving.up = False
        await load.run(LoadPlan("p", (PhasePlan("mix-0", "mix", (Stream((FOUR,), 2, 5.0, 0.0),), 1.0),)))
    assert load.told.missing == ["mix-0: the server is gone"]
    assert serving.bodies == []


async def test_warming_up_measures_a_pace() -> None:
    serving = Serving(whole)
    async with load_on(serving) as load:
        pace = await warmed_up(load)
    assert pace.concurrency == serving.most_at_once == 4
    assert pace.prefill < 64 / 0.02 * 1.1, "the whole prompt was worked for before the first token"
    assert pace.step_alone > 0.0


async def test_a_server_that_gives_no_answers_cannot_be_measured() -> None:
    async with load_on(Serving(cut)) as load:
        with pytest.raises(ServerFailedError, match="no whole answers: ended too early"):
            await warmed_up(load)
