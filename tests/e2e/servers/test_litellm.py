"""A real LiteLLM proxy before a real llama-server, told of by its callback's payloads."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exporter.demo.inference import RunningInference
from exporter.demo.load import ClientFact, generate
from exporter.requests.fronts.profiles import SETUP
from tests.e2e.exporter_process import Page, running_exporter
from tests.e2e.programs import running_program
from tests.e2e.seen import Receipt, assert_near, pairs, wait_until_settled
from tests.e2e.servers.conftest import Installed
from tests.e2e.web import answers, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.opt_in]

LOAD_SECONDS = 12.0
START_SECONDS = 180.0

_CALLBACK = """
import json
from litellm.integrations.custom_logger import CustomLogger


class Payloads(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        with open({file!r}, "a") as log:
            log.write({line} + "\\n")

    async_log_failure_event = async_log_success_event


payloads = Payloads()
"""

Told = tuple[list[ClientFact], Page, list[Receipt]]


@pytest.fixture(scope="module")
def told(
    installed: Installed, llama_server: RunningInference, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    folder, port = tmp_path_factory.mktemp("litellm"), free_port()
    payloads, url = folder / "payloads.jsonl", f"http://127.0.0.1:{port}"
    payloads.touch()
    [line] = re.findall(r"appends (json\.dumps\(.*?default=str\)) and", SETUP["litellm"])
    (folder / "energy.py").write_text(_CALLBACK.format(file=str(payloads), line=line))
    behind = {"model": "openai/smol", "api_base": f"{llama_server.url}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": "smol", "litellm_params": behind}],
        "litellm_settings": {"callbacks": ["energy.payloads"]},
        "general_settings": {"completion_model": "smol"},  # the load names none
    }
    (folder / "litellm.yaml").write_text(yaml.safe_dump(config))
    command = [
        *(str(installed("litellm") / "bin" / "litellm"), "--config", str(folder / "litellm.yaml")),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    env = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # on loopback, for these tests only
    }
    alive = f"{url}/health/liveliness"
    with running_program(command, lambda: answers(alive), log=folder / "litellm.log", env=env, seconds=START_SECONDS):
        yield _watched(url, payloads, folder)


def _watched(url: str, payloads: Path, folder: Path) -> Told:
    requests = {"source": "jsonl", "profile": "litellm", "path": str(payloads)}
    config = {"servers": [{"name": "real", "requests": requests}], "power": {"source": "cpu"}}
    with running_exporter(config, folder) as exporter:
        facts = list(asyncio.run(generate(url, LOAD_SECONDS)))
        wait_until_settled(exporter, {"real": len(facts)})
        return facts, exporter.page(), list(exporter.receipts())


def test_each_request_counts_once_under_its_outcome(told: Told) -> None:
    facts, page, _ = told
    seen = Counter(fact.outcome for fact in facts)
    assert seen["ok"] >= 5
    for outcome in ("ok", "aborted", "error"):
        assert page.sum("llm_requests_total", outcome=outcome) == seen[outcome]


def test_tokens_are_those_of_the_servers_own_bill(told: Told) -> None:
    facts, _, receipts = told
    for pair in (one for one in pairs(facts, receipts) if one.fact.outcome == "ok"):
        assert pair.receipt["prompt_tokens"] == pair.fact.prompt_tokens
        assert pair.receipt["output_tokens"] == pair.fact.output_tokens


def test_requests_are_told_when_their_clients_saw_them(told: Told) -> None:
    facts, _, receipts = told
    found = pairs(facts, receipts)
    assert_near([pair.start for pair in found], each=1.5, typical=0.3)
    assert_near([pair.end for pair in found], each=1.5, typical=0.3)


def test_no_line_was_lost(told: Told) -> None:
    _, page, receipts = told
    assert page.sum("llm_energy_exporter_log_lines_total", outcome="dropped") == 0
    assert all(receipt["energy_joules"] > 0 for receipt in receipts)
