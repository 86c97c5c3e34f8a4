"""Servers' own metrics: real pages are understood, and whatever else a server answers is said in words and counted."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st

from exporter.app import exporting
from exporter.clock import SystemClock
from exporter.doctor import gauge
from exporter.domain.health import GaugeFailure
from exporter.domain.settings import ListenAddress, PowerSettings, RequestSettings, ServerSettings, Settings
from exporter.feeds import families
from exporter.feeds.gauges import Poller, polling, session
from exporter.server import serve

PAGES = Path(__file__).parent / "pages"
VLLM = (PAGES / "vllm-0.32.0.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("vllm-0.32.0.txt", families.Told("vLLM", 3.0, 0.0, 501.0, 230.0)),
        ("vllm-0.11.0.txt", families.Told("vLLM", 0.0, 0.0, 1017.0, 723.0)),
        ("llama-server-b11434.txt", families.Told("llama-server", 4.0, 1.0, 417.0, 30.0)),
        ("torchserve-0.12.0.txt", None),
        ("llama-server-b10434-without-flag.json", None),
    ],
)
def test_a_real_page_says_how_many_requests_run(page: str, told: families.Told | None) -> None:
    assert families.read((PAGES / page).read_text(encoding="utf-8")) == told


def test_what_a_server_tells_apart_is_added_up() -> None:
    page = (
        'sglang:num_running_reqs{dp_rank="0"} 3\nsglang:num_running_reqs{dp_rank="1"} 4\n'
        "sglang:num_running_reqs_offline_batch 9\nsglang:num_queue_reqs 2\n"
    )
    assert families.read(page) == families.Told("SGLang", 7.0, 2.0, None, None)


def test_what_is_no_number_is_not_known() -> None:
    assert families.read("tgi_batch_current_size NaN\ntgi_queue_size 1\n") == families.Told(
        "TGI", None, 1.0, None, None
    )


def test_triton_tells_only_who_waits() -> None:
    page = 'nv_inference_pending_request_count{model="a",version="1"} 2\n'
    assert families.read(page) == families.Told("Triton", None, 2.0, None, None)


@given(st.lists(st.sampled_from(["vllm:num_requests_running", "{", "}", '"', " ", "\n", "1", "é", "tgi_queue_size"])))
def test_no_page_makes_reading_raise_anything_but_that_it_is_none(pieces: list[str]) -> None:
    with suppress(ValueError):
        families.read("".join(pieces))


@asynccontextmanager
async def answering(
    body: bytes, status: int = 200, encoding: str | None = None, seconds: float = 0.0
) -> AsyncIterator[str]:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(seconds)
        headers = {"Content-Encoding": encoding} if encoding is not None else {}
        return web.Response(body=body, status=status, headers=headers, content_type="text/plain")

    application = web.Application()
    application.router.add_get("/metrics", answer)
    runner = await serve(application, ListenAddress("127.0.0.1", 0))
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()


async def asked(url: str, times: int = 1) -> Poller:
    poller = Poller("chat", url, SystemClock())
    async with session() as one:
        for _ in range(times):
            await poller.ask(one)
    return poller


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_an_answer_is_a_gauge_that_lies_between_question_and_answer(encoding: str | None) -> None:
    clock = SystemClock()
    before = clock.now()
    body = VLLM.encode() if encoding is None else gzip.compress(VLLM.encode())
    async with answering(body, encoding=encoding) as url:
        poller = await asked(url, 2)
    first, second = poller.drain()
    assert (first.running, first.waiting, first.prompt_tokens, first.output_tokens) == (3.0, 0.0, 501.0, 230.0)
    assert before < first.at < second.at
    assert first.at - first.uncertainty >= before
    assert poller.drain() == []
    assert (poller.view().readings, poller.view().failures) == (2, {})


@pytest.mark.parametrize(
    ("body", "status", "reason", "words"),
    [
        (b"not here", 404, "status", "status 404"),
        ((PAGES / "llama-server-b10434-without-flag.json").read_bytes(), 501, "status", "needs the flag --metrics"),
        (b"<html>hello</html>", 200, "unreadable", "not in Prometheus' text format"),
        (b"vllm:num_requests_running{ 1\n", 200, "unreadable", "not in Prometheus' text format"),
        ((PAGES / "torchserve-0.12.0.txt").read_bytes(), 200, "unknown", "no metric of a server that is known here"),
        (b"x" * (5 << 20), 200, "too_large", "more than 4 MiB"),
    ],
)
async def test_any_other_answer_is_said_once_and_counted(
    body: bytes, status: int, reason: GaugeFailure, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with answering(body, status) as url:
        poller = await asked(url, 3)
    assert poller.drain() == []
    assert poller.view().failures == {reason: 3}
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert words in said


async def test_a_server_that_is_not_there_is_asked_again_and_heard_when_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with answering(VLLM.encode()) as url:
        pass
    poller = await asked(url, 2)
    assert poller.view().failures == {"unreachable": 2}
    async with answering(VLLM.encode()) as elsewhere:
        poller._url = elsewhere
        async with session() as one:
            await poller.ask(one)
    assert len(poller.drain()) == 1
    assert caplog.messages[-1].endswith("answers")


async def test_a_server_that_does_not_answer_in_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.feeds.gauges.TIMEOUT_SECONDS", 0.05)
    async with answering(VLLM.encode(), seconds=0.5) as url:
        poller = await asked(url)
    assert poller.view().failures == {"timeout": 1}


async def test_polling_asks_at_once_and_ends_with_its_context() -> None:
    async with answering(VLLM.encode()) as url:
        poller = Poller("chat", url, SystemClock())
        async with polling([poller]):
            while not poller.view().readings:  # noqa: ASYNC110 - nothing tells that it was asked
                await asyncio.sleep(0.01)
    assert len(poller.drain()) == 1
    assert len(asyncio.all_tasks()) == 1


async def test_a_running_exporter_asks_the_server_and_shows_what_it_says(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.touch()
    async with answering(VLLM.encode()) as url:
        server = ServerSettings("chat", (RequestSettings("vllm", (str(log),)),), metrics_url=url)
        here = Settings((server,), listen=ListenAddress("127.0.0.1", 0), power=PowerSettings(("none",)))
        async with exporting(here) as exporter, ClientSession() as scraper, asyncio.timeout(20.0):
            page = ""
            while 'llm_running_requests{server="chat",view="server"} 3' not in page:
                await asyncio.sleep(0.1)
                async with scraper.get(f"{exporter.url}/metrics") as response:
                    page = await response.text()
    assert 'llm_energy_exporter_server_readings_total{server="chat"} 1' in page


async def test_the_doctor_says_what_a_server_tells_or_why_it_does_not() -> None:
    async with answering(VLLM.encode()) as url:
        good = await asyncio.to_thread(gauge.examine, url)
    bad = await asyncio.to_thread(gauge.examine, url)
    assert (good.verdict, bad.verdict) == ("ok", "warn")
    assert "(vLLM) tells 3 requests running, 0 waiting" in good.text
    assert "metrics_url" in bad.fix
    async with answering(b"nv_inference_pending_request_count 2\n") as url:
        blind = await asyncio.to_thread(gauge.examine, url)
    assert blind.verdict == "note"
    assert "not how many run" in blind.text
