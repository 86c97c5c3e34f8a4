"""A real llama-cpp-python server, told of by its log alone: uvicorn's lines, and its timings of each execution."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.demo.inference import find_inference
from exporter.demo.load import ClientFact, generate
from tests.e2e.exporter_process import Page, running_exporter
from tests.e2e.programs import running_program
from tests.e2e.seen import Receipt, assert_books_balance, assert_near, pairs, wait_until_settled
from tests.e2e.servers.conftest import Installed
from tests.e2e.web import answers, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.opt_in]

LOAD_SECONDS = 15.0

Told = tuple[tuple[ClientFact, ...], Page, list[Receipt]]


@pytest.fixture(scope="module")
def told(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder, port = tmp_path_factory.mktemp("llama_cpp_python"), free_port()
    log, url = folder / "server.log", f"http://127.0.0.1:{port}"
    command = [
        *(str(installed("llama_cpp_python") / "bin" / "python"), "-m", "llama_cpp.server"),
        *("--model", str(find_inference().model), "--host", "127.0.0.1", "--port", str(port)),
        *("--n_ctx", "2048", "--n_threads", "1", "--verbose", "true", "--interrupt_requests", "false"),
    ]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with running_program(command, lambda: answers(f"{url}/v1/models"), log=log, env=env, seconds=120.0):
        yield _watched(url, log, folder)


def _watched(url: str, log: Path, folder: Path) -> Told:
    requests = {"source": "llama_cpp_python", "path": str(log)}
    config = {"servers": [{"name": "real", "model": "smol", "requests": requests}], "power": {"source": "cpu"}}
    with running_exporter(config, folder) as exporter:
        facts = asyncio.run(generate(url, LOAD_SECONDS))
        wait_until_settled(exporter, {"real": len(facts)})
        return facts, exporter.page(), list(exporter.receipts())


def test_each_request_counts_once_under_its_outcome(told: Told) -> None:
    facts, page, _ = told
    seen = Counter(fact.outcome for fact in facts)
    assert seen["ok"] >= 5
    for outcome in ("ok", "aborted", "error"):
        assert page.sum("llm_requests_total", outcome=outcome) == seen[outcome]


def test_tokens_are_those_of_the_servers_own_bill(told: Told) -> None:
    """It bills no streams, and no end token, which is generated like any other: the log tells both."""
    facts, _, receipts = told
    billed = [pair for pair in pairs(facts, receipts) if pair.fact.prompt_tokens is not None]
    assert len(billed) >= 3
    for pair in billed:
        assert pair.receipt["prompt_tokens"] == pair.fact.prompt_tokens
        assert pair.receipt["output_tokens"] - (pair.fact.output_tokens or 0) in (0, 1)
    assert all(one["output_tokens"] > 0 for one in receipts if one["outcome"] == "ok")


def test_requests_end_when_their_clients_saw_them_end(told: Told) -> None:
    """It works on one request at a time, so that what the log tells of an execution says nothing of who waited."""
    facts, _, receipts = told
    ok = [pair for pair in pairs(facts, receipts) if pair.fact.outcome == "ok"]
    assert_near([pair.end for pair in ok], each=1.0, typical=0.15)
    assert all(pair.start > -0.15 for pair in ok)


def test_every_joule_is_booked_and_each_request_had_some(told: Told) -> None:
    _, page, receipts = told
    assert_books_balance(page)
    assert all(receipt["energy_joules"] > 0 for receipt in receipts)
    assert page.sum("llm_energy_exporter_log_lines_total", outcome="dropped") == 0
