"""A real vLLM on the CPU, told of by its log, by its spans and by both, beside what the clients saw."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.load import ClientFact, generate
from tests.e2e.exporter_process import Page, running_exporter
from tests.e2e.programs import running_program
from tests.e2e.seen import Pair, Receipt, assert_books_balance, assert_near, pairs, wait_until_settled
from tests.e2e.servers.conftest import Installed
from tests.e2e.web import answers, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.opt_in]

LOAD_SECONDS = 15.0
START_SECONDS = 180.0
LOG_SECONDS = 1.0
"""A stamp of whole seconds, and the moment at which its line was read."""
SERVICE = "vllm-under-test"


@dataclass(frozen=True)
class Watched:
    """A load that is over."""

    facts: tuple[ClientFact, ...]
    page: Page
    receipts: list[Receipt]

    def seen_by(self, way: str) -> list[ClientFact]:
        return _seen_by(way, self.facts)

    def of(self, way: str) -> list[Pair]:
        return pairs(self.seen_by(way), [one for one in self.receipts if one["server"] == way])


@pytest.fixture(scope="module")
def watched(
    installed: Installed, exporter_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Watched]]:
    """By way: spans go to one server of an exporter only, so each way has an exporter and a load of its own."""
    folder, port = tmp_path_factory.mktemp("vllm"), free_port()
    log, url = folder / "server.log", f"http://127.0.0.1:{port}"
    venv = installed("vllm")
    command = [
        *(str(venv / "bin" / "vllm"), "serve", str(venv / "model"), "--served-model-name", "smol"),
        *("--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--dtype", "bfloat16"),
        *("--max-model-len", "2048", "--enable-log-requests", "--enable-log-outputs", "--max-log-len", "0"),
        *("--otlp-traces-endpoint", f"http://{exporter_address}/v1/traces"),
    ]
    env = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
    }
    text, spans = {"source": "vllm", "path": str(log)}, {"source": "otlp", "service": SERVICE}
    with running_program(command, lambda: answers(f"{url}/health"), log=log, env=env, seconds=START_SECONDS):
        alone = _watch(url, exporter_address, folder / "alone", {"log": text, "spans": spans})
        both = _watch(url, exporter_address, folder / "both", {"both": [spans, text]})
        yield {"log": alone, "spans": alone, "both": both}


def _seen_by(way: str, facts: Sequence[ClientFact]) -> list[ClientFact]:
    """vLLM makes no span for a request that was aborted."""
    return [fact for fact in facts if way != "spans" or fact.outcome != "aborted"]


def _watch(url: str, address: str, folder: Path, ways: dict[str, Any]) -> Watched:
    folder.mkdir()
    servers = [
        {"name": name, "model": "smol", "requests": requests, "metrics_url": f"{url}/metrics"}
        for name, requests in ways.items()
    ]
    with running_exporter({"servers": servers, "power": {"source": "cpu"}}, folder, address) as exporter:
        facts = asyncio.run(generate(url, LOAD_SECONDS))
        wait_until_settled(exporter, {way: len(_seen_by(way, facts)) for way in ways})
        return Watched(facts, exporter.page(), list(exporter.receipts()))


each_way = pytest.mark.parametrize("way", ["log", "spans", "both"])


@each_way
def test_each_request_counts_once_under_its_outcome(watched: dict[str, Watched], way: str) -> None:
    told = watched[way]
    seen = Counter(fact.outcome for fact in told.seen_by(way))
    assert seen["ok"] >= 5
    for outcome in ("ok", "aborted", "error"):
        assert told.page.sum("llm_requests_total", server=way, outcome=outcome) == seen[outcome]


@pytest.mark.parametrize("way", ["spans", "both"])
def test_tokens_are_those_of_the_servers_own_bill(watched: dict[str, Watched], way: str) -> None:
    for pair in watched[way].of(way):
        if pair.fact.outcome == "ok":
            assert pair.receipt["prompt_tokens"] == pair.fact.prompt_tokens
            assert pair.receipt["output_tokens"] == pair.fact.output_tokens


@each_way
def test_requests_are_told_when_their_clients_saw_them(watched: dict[str, Watched], way: str) -> None:
    told = watched[way].of(way)
    precision = LOG_SECONDS if way == "log" else 0.0
    assert_near([pair.arrival for pair in told], each=1.0 + precision, typical=0.15 + precision / 2)
    assert_near([pair.end for pair in told], each=1.0 + precision, typical=0.15 + precision / 2)


@pytest.mark.parametrize("way", ["spans", "both"])
def test_first_tokens_come_when_their_clients_saw_them(watched: dict[str, Watched], way: str) -> None:
    seen = [pair.first_token for pair in watched[way].of(way) if pair.first_token is not None]
    assert_near(seen, each=1.0, typical=0.15)


@each_way
def test_every_joule_is_booked_and_each_request_had_some(watched: dict[str, Watched], way: str) -> None:
    told = watched[way]
    assert_books_balance(told.page)
    assert all(pair.receipt["energy_joules"] > 0 for pair in told.of(way))
    assert told.page.sum("llm_energy_exporter_log_lines_total", outcome="dropped") == 0
    assert told.page.sum("llm_energy_exporter_faults_total") == 0
