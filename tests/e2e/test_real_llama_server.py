"""The real exporter beside a real llama-server, checked against what the clients saw."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from exporter.demo.inference import RunningInference
from exporter.demo.load import ClientFact, generate
from tests.e2e.exporter_process import Page, RunningExporter, running_exporter, watching
from tests.e2e.web import wait_until

pytestmark = pytest.mark.e2e

LOAD_SECONDS = 12.0
SETTLE_SECONDS = 30.0
CLOCK_SECONDS = 0.5
"""Between client and log: some 30 ms on a quiet machine, where this was tried."""
LAUNCH_SECONDS = 3.0
"""From arrival to execution: the server takes up a request between two batches, and a batch of prompts can be long."""


@dataclass(frozen=True)
class Session:
    """A load that is over: what the clients saw of it, and what the exporter's page says."""

    facts: tuple[ClientFact, ...]
    page: Page
    receipts: list[dict[str, Any]]
    exit_status: int
    errors: str

    def of(self, outcome: str) -> list[ClientFact]:
        return [fact for fact in self.facts if fact.outcome == outcome]


@pytest.fixture(scope="module")
def session(llama_server: RunningInference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    config = watching(llama_server.log, llama_server.model)
    with running_exporter(config, tmp_path_factory.mktemp("exporter")) as exporter:
        facts = asyncio.run(generate(llama_server.url, LOAD_SECONDS))
        page, receipts = _settled_page(exporter, len(facts)), exporter.receipts()
        status = exporter.stop()
        yield Session(facts, page, receipts, status, exporter.errors.read_text())


def _settled_page(exporter: RunningExporter, requests: int) -> Page:
    wait_until(
        lambda: exporter.page().sum("llm_requests_total") >= requests,
        SETTLE_SECONDS,
        f"{requests} requests are settled",
    )
    return exporter.page()


def test_the_load_was_one_worth_measuring(session: Session) -> None:
    assert len(session.of("ok")) >= 5
    assert len(session.of("aborted")) == 1


@pytest.mark.parametrize("outcome", ["ok", "aborted", "error"])
def test_every_request_is_counted_under_its_outcome(session: Session, outcome: str) -> None:
    assert session.page.sum("llm_requests_total", outcome=outcome) == len(session.of(outcome))


@pytest.mark.parametrize(("direction", "tokens"), [("input", "prompt_tokens"), ("output", "output_tokens")])
def test_tokens_are_those_of_the_servers_own_bill(session: Session, direction: str, tokens: str) -> None:
    expected = sum(getattr(fact, tokens) for fact in session.of("ok"))
    assert session.page.sum("llm_tokens_total", direction=direction) == expected


def test_durations_are_those_the_clients_saw(session: Session) -> None:
    """The log tells execution; the client waits for its turn and the way there and back too."""
    seen = sum(fact.seconds for fact in session.facts)
    told = session.page.sum("llm_request_duration_seconds_sum")
    assert 0.7 * seen < told < seen + 0.05 * len(session.facts)


def test_every_joule_is_booked(session: Session) -> None:
    [metered] = session.page.of("llm_device_energy_joules_total")
    device = metered.labels["device"]
    booked = session.page.sum("llm_energy_joules_total", device=device)
    unsettled = session.page.sum("llm_energy_unsettled_joules", device=device)
    assert metered.value > 0
    assert abs(metered.value - booked - unsettled) / metered.value <= 1e-9


def test_each_request_is_one_that_a_client_sent(session: Session) -> None:
    """The log knows no id of the client's: a request is recognised by its tokens and the moment it ended."""
    receipts = list(session.receipts)
    for fact in session.of("ok"):
        alike = [receipt for receipt in receipts if _tokens(receipt) == (fact.prompt_tokens, fact.output_tokens)]
        receipt = min(alike, key=lambda one: abs(one["end"] - fact.end))
        receipts.remove(receipt)
        assert -CLOCK_SECONDS < receipt["start"] - fact.start < LAUNCH_SECONDS
        assert receipt["end"] == pytest.approx(fact.end, abs=CLOCK_SECONDS)
        if fact.first_token is not None:
            first_token = receipt["start"] + receipt["time_to_first_token_seconds"]
            assert first_token == pytest.approx(fact.first_token, abs=CLOCK_SECONDS)


def _tokens(receipt: dict[str, Any]) -> tuple[int, int]:
    return receipt["prompt_tokens"], receipt["output_tokens"]


def test_each_request_had_energy(session: Session) -> None:
    assert all(receipt["energy_joules"] > 0 for receipt in session.receipts)


def test_requests_had_energy_and_no_request_had_none(session: Session) -> None:
    page = session.page
    energy = page.sum("llm_request_energy_joules_sum")
    assert page.sum("llm_request_energy_joules_count") == len(session.facts)
    assert energy == pytest.approx(page.sum("llm_energy_joules_total", share="requests"), rel=1e-9)
    # the smallest request: a dozen tokens, a tenth of a second of a core that draws watts
    assert page.sum("llm_request_energy_joules_bucket", le="0.1") == 0


def test_an_estimate_says_so(session: Session) -> None:
    [source] = session.page.of("llm_power_source_info")
    assert source.labels["method"] == "estimated"
    assert {sample.labels["method"] for sample in session.page.of("llm_request_energy_joules_count")} == {"estimated"}


def test_no_line_of_the_log_was_lost_and_no_bug_was_survived(session: Session) -> None:
    assert session.page.sum("llm_energy_exporter_log_lines_total", outcome="dropped") == 0
    assert session.page.sum("llm_energy_exporter_faults_total") == 0
    assert session.page.sum("llm_energy_exporter_orphans_total") == 0


def test_it_ends_cleanly_when_asked(session: Session) -> None:
    assert session.exit_status == 0
    assert "Traceback" not in session.errors
