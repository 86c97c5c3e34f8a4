"""Books over HTTP, and the load that brings traffic, against real local servers."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from exporter.completions.client import CompletionError, Target
from exporter.domain.errors import TuneError, UsageError
from exporter.metrics.exposition import render
from exporter.tune.books import UnreachableError, metrics_of, reading
from exporter.tune.ensemble import Ensemble
from exporter.tune.knob import KnobRange
from exporter.tune.load import Load, Plan, loading, prompt
from exporter.web import OPEN, Access, trusting
from tests.calibrate.api_server import Behaviour, serving
from tests.metrics.examples import published

GOOD = render(published())[0].decode()


@asynccontextmanager
async def exporter(text: str = GOOD, status: int = 200, auth: str | None = None) -> AsyncIterator[str]:
    async def metrics(request: web.Request) -> web.Response:
        if auth is not None and request.headers.get("Authorization") != auth:
            return web.Response(status=401)
        return web.Response(text=text, status=status)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_page_is_read_by_the_exporters_address_or_its_metrics() -> None:
    async with exporter() as url:
        for address in (url, f"{url}/", f"{url}/metrics"):
            async with reading(address) as books:
                assert (await books.read()).started == published().health.start


async def test_a_password_is_sent_and_its_lack_is_explained() -> None:
    header = "Basic " + base64.b64encode(b"me:secret").decode()
    async with exporter(auth=header) as url:
        async with reading(url, Access(user="me", password="secret")) as books:  # noqa: S106 - a test's
            assert (await books.read()).servers
        async with reading(url) as books:
            with pytest.raises(TuneError, match="--user and --password-file"):
                await books.read()


@pytest.mark.parametrize(
    ("text", "status", "error", "says"),
    [
        ("", 503, UnreachableError, "answers with status 503"),
        ("node_load1 3\n", 200, TuneError, "is not an llm-energy-exporter of this release"),
        ("llm_requests_total{server=\n", 200, TuneError, "not in Prometheus' text format"),
        ('llm_requests_total{outcome="ok"} x\n', 200, TuneError, "not in Prometheus' text format"),
    ],
)
async def test_what_is_no_page_of_ours_is_refused(text: str, status: int, error: type[TuneError], says: str) -> None:
    async with exporter(text, status) as url, reading(url) as books:
        with pytest.raises(error, match=says):
            await books.read()


async def test_where_nobody_answers_it_says_where_to_look() -> None:
    async with reading("http://127.0.0.1:9") as books:
        with pytest.raises(UnreachableError, match="no exporter answers at"):
            await books.read()


def test_what_cannot_be_an_exporter_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="localhost: no URL"):
        metrics_of("localhost", OPEN)
    with pytest.raises(UsageError, match="no certificates can be read"):
        trusting(Access(ca_file=tmp_path / "none.pem"))


# ---- the load ----


async def answered(load: Load, count: int) -> None:
    """Wait for answers."""
    while load.answered < count:  # noqa: ASYNC110 - the load tells nobody
        await asyncio.sleep(0.01)


async def test_so_many_requests_run_at_once_each_as_long_as_asked_for() -> None:
    behaviour = Behaviour()
    async with serving(behaviour) as url, loading(Plan(Target(url, "small"), 3, 40, 12)) as load:
        await answered(load, 9)
        load.check()
    assert behaviour.most_running == 3
    asked = behaviour.bodies[-1]
    assert (asked["max_tokens"], asked["ignore_eos"], asked["model"]) == (12, True, "small")
    assert behaviour.running == 0


async def test_a_server_that_refuses_what_is_not_standard_is_asked_without() -> None:
    behaviour = Behaviour(refuses_stream_options=True)
    async with serving(behaviour) as url, loading(Plan(Target(url, "small"), 1, 40, 12)) as load:
        await answered(load, 1)
    assert "ignore_eos" not in behaviour.bodies[-1]
    assert "stream_options" not in behaviour.bodies[-1]


async def test_a_server_that_gives_no_answer_is_no_load() -> None:
    with pytest.raises(CompletionError, match="cannot be reached"):
        async with loading(Plan(Target("http://127.0.0.1:9", "small"))):
            pytest.fail("there is no server")


def test_nothing_but_failures_is_no_load_any_more() -> None:
    load = Load()
    load.failures["timed out"] = 20
    with pytest.raises(TuneError, match="the load failed 20 times in a row: timed out"):
        load.check()


def test_prompts_are_about_as_long_as_asked_for_and_all_different() -> None:
    assert abs(len(prompt(500, "a").split()) - 500) < 25
    assert prompt(100, "a") != prompt(100, "b")


# ---- several devices ----


class Noted:
    """A knob that notes what it is set to."""

    name = "clocks"

    def __init__(self, device: str, default: int = 400) -> None:
        self.device, self.uuid, self.set_to = device, f"GPU-{device}", [0]
        self._range = KnobRange("W", (200, 300, default), default)

    def range(self) -> KnobRange:
        return self._range

    def set(self, setting: int) -> None:
        self.set_to.append(setting)

    def restore(self) -> None:
        self.set_to.append(0)


def test_gpus_that_share_a_model_are_turned_as_one() -> None:
    knobs = [Noted("gpu0"), Noted("gpu1")]
    together = Ensemble(knobs)  # type: ignore[arg-type]
    together.set(300)
    together.restore()
    assert [knob.set_to for knob in knobs] == [[0, 300, 0], [0, 300, 0]]
    assert (together.device, together.range().default) == ("gpu0, gpu1", 400)


def test_gpus_that_cannot_be_set_alike_are_refused() -> None:
    with pytest.raises(TuneError, match="cannot be set alike"):
        Ensemble([Noted("gpu0"), Noted("gpu1", default=500)])  # type: ignore[list-item]
