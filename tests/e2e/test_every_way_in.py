"""One real server, told of in every way that runs here: each way beside what the clients saw.

Three loads make do, because several ways can watch the same one:

- through nginx, which writes three logs at once, with twice as many clients as the server has slots, so that some wait;
- through two HAProxies before two servers at the same time, on the one device that there is;
- through two of our own reverse proxies, one behind the other.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from exporter.demo.inference import RunningInference, find_inference, running
from exporter.demo.load import SEED, ClientFact, generate
from exporter.domain.events import Outcome
from tests.e2e.exporter_process import Page, running_exporter
from tests.e2e.fronts import HAPROXY_SOURCES, running_haproxy, running_nginx
from tests.e2e.seen import Pair, assert_books_balance, assert_near, pairs, wait_until_settled
from tests.e2e.web import free_port

pytestmark = pytest.mark.e2e

LOAD_SECONDS = 8.0
LATE_SECONDS = 3.0
"""Longer than sources wait for each other at first: what is told twice has been by then."""
EACH_SECONDS, TYPICAL_SECONDS = 1.0, 0.15
"""Between what a client saw and what is told of it, on a busy machine; on a quiet one it is milliseconds."""

Requests = dict[str, Any] | list[dict[str, Any]]
Facts = tuple[ClientFact, ...]
LoadName = Literal["nginx", "haproxy", "proxy"]


@dataclass(frozen=True)
class Way:
    """A way in, and what it can know.

    Attributes:
        load: the load that it watches. server: its name in the configuration.
        tells_arrival: when the client asked; else only when execution began.
        tells_tokens: and first tokens of streams.
        sees_leaving: a client that hangs up is told from one that stays.
    """

    load: LoadName
    server: str
    tells_arrival: bool = True
    tells_tokens: bool = False
    sees_leaving: bool = True

    def __str__(self) -> str:
        return self.server


WAYS = (
    Way("nginx", "llamacpp", tells_arrival=False, tells_tokens=True),
    Way("nginx", "nginx_json"),
    Way("nginx", "nginx_combined"),
    Way("nginx", "nginx_short", sees_leaving=False),
    Way("nginx", "nginx_and_llamacpp", tells_tokens=True),
    Way("haproxy", "haproxy_httplog"),
    Way("haproxy", "haproxy_json"),
    Way("haproxy", "llamacpp_and_haproxy", tells_tokens=True),
    Way("proxy", "proxy", tells_tokens=True),
    Way("proxy", "proxy_and_llamacpp", tells_tokens=True),
)
JOINED = tuple(way for way in WAYS if "_and_" in way.server)


@dataclass(frozen=True)
class Watched:
    """A load that is over. `facts`: what the clients of each server saw."""

    facts: Mapping[str, Facts]
    page: Page
    receipts: Sequence[Mapping[str, Any]]
    exit_status: int
    errors: str


@dataclass(frozen=True)
class Told:
    """What one way told."""

    way: Way
    facts: Facts
    page: Page
    receipts: Sequence[Mapping[str, Any]]

    def sum(self, name: str, **labels: str) -> float:
        return self.page.sum(name, server=self.way.server, **labels)

    def expected(self, outcome: Outcome) -> int:
        """How many requests it should have told of with this outcome."""
        counts = Counter(fact.outcome for fact in self.facts)
        if not self.way.sees_leaving:
            counts["ok"] += counts.pop("aborted", 0)
        return counts[outcome]

    @property
    def pairs(self) -> list[Pair]:
        return pairs(self.facts, self.receipts)


Watch = Callable[[LoadName], Watched]


@pytest.fixture(scope="module")
def watch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Watch:
    """A load by its name, put on when somebody asks for it first."""
    watched: dict[str, Watched] = {}

    def get(name: LoadName) -> Watched:
        if name not in watched:
            server: RunningInference = request.getfixturevalue("llama_server")
            folder = tmp_path_factory.mktemp(name)
            if name == "nginx":
                watched[name] = through_nginx(request.getfixturevalue("nginx_program"), server, folder)
            elif name == "haproxy":
                watched[name] = through_haproxies(request.getfixturevalue("haproxy_program"), server, folder)
            else:
                watched[name] = through_our_own(server, folder)
        return watched[name]

    return get


@pytest.fixture
def told(watch: Watch, request: pytest.FixtureRequest) -> Told:
    way: Way = request.param
    watched = watch(way.load)
    own = [receipt for receipt in watched.receipts if receipt["server"] == way.server]
    return Told(way, watched.facts[way.server], watched.page, own)


def each(ways: Sequence[Way]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("told", ways, indirect=True, ids=str)


each_load = pytest.mark.parametrize("load", ["nginx", "haproxy", "proxy"])


# --- the loads -----------------------------------------------------------------------------------------------------


def through_nginx(program: str, server: RunningInference, folder: Path) -> Watched:
    log = {"source": "llamacpp", "path": str(server.log)}
    with running_nginx(program, server.url, folder) as nginx:
        as_json = {"source": "jsonl", "profile": "nginx", "path": str(nginx.json)}
        ways: dict[str, Requests] = {
            "llamacpp": log,
            "nginx_json": as_json,
            "nginx_combined": {"source": "combined", "path": str(nginx.combined), "fields": nginx.fields},
            "nginx_short": {"source": "combined", "path": str(nginx.short)},
            "nginx_and_llamacpp": [as_json, log],
        }
        return watched(ways, folder, [([nginx.url, nginx.url], list(ways))])


def through_haproxies(program: str, server: RunningInference, folder: Path) -> Watched:
    with ExitStack() as open_:
        other = open_.enter_context(running(find_inference()))
        fronts = {}
        for form, behind in (("httplog", server), ("json", other)):
            (folder / form).mkdir()
            fronts[form] = open_.enter_context(running_haproxy(program, behind.url, folder / form, form))
        httplog, as_json = ({**HAPROXY_SOURCES[form], "path": str(front.log)} for form, front in fronts.items())
        ways: dict[str, Requests] = {
            "haproxy_httplog": httplog,
            "llamacpp_and_haproxy": [{"source": "llamacpp", "path": str(server.log)}, httplog],
            "haproxy_json": as_json,
        }
        first, second = [fronts["httplog"].url], [fronts["json"].url]
        return watched(ways, folder, [(first, ["haproxy_httplog", "llamacpp_and_haproxy"]), (second, ["haproxy_json"])])


def through_our_own(server: RunningInference, folder: Path) -> Watched:
    """The clients ask the one that has the server's log beside it; that asks the other, and that asks the server."""
    outer, inner = (f"127.0.0.1:{free_port()}" for _ in range(2))
    ways: dict[str, Requests] = {
        "proxy": {"source": "proxy", "upstream": server.url, "listen": inner},
        "proxy_and_llamacpp": [
            {"source": "proxy", "upstream": f"http://{inner}", "listen": outer},
            {"source": "llamacpp", "path": str(server.log)},
        ],
    }
    return watched(ways, folder, [([f"http://{outer}"], list(ways))])


def watched(ways: Mapping[str, Requests], folder: Path, loads: Sequence[tuple[list[str], list[str]]]) -> Watched:
    """One exporter, and all loads at once: each on its addresses, seen by its servers."""
    servers = [{"name": name, "model": "smol", "requests": requests} for name, requests in ways.items()]
    with running_exporter({"servers": servers, "power": {"source": "cpu"}}, folder) as exporter:
        per_load = asyncio.run(_all_at_once([addresses for addresses, _ in loads]))
        facts = {name: seen for (_, names), seen in zip(loads, per_load, strict=True) for name in names}
        wait_until_settled(exporter, {name: len(seen) for name, seen in facts.items()})
        time.sleep(LATE_SECONDS)
        page, receipts = exporter.page(), exporter.receipts()
        status = exporter.stop()
        return Watched(facts, page, receipts, status, exporter.errors.read_text())


async def _all_at_once(loads: Sequence[Sequence[str]]) -> list[Facts]:
    """What the clients of each load saw. No two of them ask the same things in the same order."""
    seeds = iter(range(SEED, SEED + 99))
    running_loads = [asyncio.gather(*(generate(url, LOAD_SECONDS, next(seeds)) for url in urls)) for urls in loads]
    return [tuple(fact for facts in await load for fact in facts) for load in running_loads]


# --- each way ------------------------------------------------------------------------------------------------------


@each_load
def test_each_load_was_one_worth_watching(watch: Watch, load: LoadName) -> None:
    for facts in watch(load).facts.values():
        outcomes = [fact.outcome for fact in facts]
        assert outcomes.count("ok") >= 5
        assert outcomes.count("aborted") >= 1
        assert outcomes.count("error") == 0
        assert any(fact.first_token for fact in facts)
        assert any(fact.first_token is None for fact in facts)


@each(WAYS)
@pytest.mark.parametrize("outcome", ["ok", "aborted", "error"])
def test_each_request_counts_once_under_its_outcome(told: Told, outcome: Outcome) -> None:
    assert told.sum("llm_requests_total", outcome=outcome) == told.expected(outcome)


@each([way for way in WAYS if way.tells_tokens])
def test_tokens_are_those_of_the_servers_own_bill(told: Told) -> None:
    for pair in told.pairs:
        if pair.fact.outcome == "ok":
            assert pair.receipt["prompt_tokens"] == pair.fact.prompt_tokens
            assert pair.receipt["output_tokens"] == pair.fact.output_tokens


@each([way for way in WAYS if not way.tells_tokens])
def test_what_a_front_cannot_know_is_not_made_up(told: Told) -> None:
    assert told.sum("llm_tokens_total") == 0
    for receipt in told.receipts:
        assert receipt["prompt_tokens"] is None
        assert receipt["output_tokens"] is None
        assert receipt["time_to_first_token_seconds"] is None


@each(WAYS)
def test_requests_end_when_their_clients_saw_them_end(told: Told) -> None:
    assert_near([pair.end for pair in told.pairs], each=EACH_SECONDS, typical=TYPICAL_SECONDS)


@each([way for way in WAYS if way.tells_arrival])
def test_requests_arrive_when_their_clients_sent_them(told: Told) -> None:
    offsets = sorted([pair.arrival for pair in told.pairs], key=abs)
    if told.way in JOINED:  # without a common name, two that end together may swap what the log told of them
        offsets = offsets[:-2]
    assert_near(offsets, each=EACH_SECONDS, typical=TYPICAL_SECONDS)


@each([way for way in WAYS if way.tells_tokens])
def test_first_tokens_come_when_their_clients_saw_them(told: Told) -> None:
    seen = [pair.first_token for pair in told.pairs if pair.first_token is not None]
    assert len(seen) >= sum(fact.first_token is not None and fact.outcome == "ok" for fact in told.facts)
    # The server's log tells the end of the prompt's work. On a busy machine it is some time before that is sent.
    assert_near(seen, each=EACH_SECONDS, typical=TYPICAL_SECONDS if told.way.load == "proxy" else EACH_SECONDS)


@each(WAYS)
def test_each_request_had_energy(told: Told) -> None:
    assert len(told.receipts) == len(told.facts)
    assert all(receipt["energy_joules"] > 0 for receipt in told.receipts)


@each(WAYS)
def test_no_line_was_lost(told: Told) -> None:
    assert told.sum("llm_energy_exporter_log_lines_total", outcome="dropped") == 0
    assert told.sum("llm_energy_exporter_orphans_total") == 0
    assert told.sum("llm_energy_exporter_log_problems") == 0


# --- together ------------------------------------------------------------------------------------------------------


@each(JOINED)
def test_execution_lies_between_what_the_client_and_the_server_saw(told: Told) -> None:
    """What waits in the server's queue is the client's time and not the server's work."""
    for pair in told.pairs:
        assert pair.receipt["queued_seconds"] >= 0
        assert pair.arrival <= pair.start


def test_who_waits_for_a_slot_is_told_to_wait_by_front_and_log_together(watch: Watch) -> None:
    nginx = watch("nginx")
    waited = _of(nginx, "nginx_and_llamacpp")
    assert max(receipt["queued_seconds"] for receipt in waited) > 0.1
    assert {receipt["queued_seconds"] for receipt in _of(nginx, "nginx_json")} == {0.0}
    # Execution, as the log alone tells it, is what is left.
    executed = sum(receipt["duration_seconds"] for receipt in _of(nginx, "llamacpp"))
    assert sum(receipt["duration_seconds"] for receipt in waited) == pytest.approx(executed, rel=0.05)


def test_two_servers_on_one_device_have_each_their_own_requests(watch: Watch) -> None:
    haproxy = watch("haproxy")
    ids = [{receipt["id"] for receipt in _of(haproxy, name)} for name in ("haproxy_httplog", "haproxy_json")]
    assert ids[0].isdisjoint(ids[1])
    first, second = haproxy.facts["haproxy_httplog"], haproxy.facts["haproxy_json"]
    assert min(first[-1].end, second[-1].end) > max(first[0].start, second[0].start), "they did not run at once"


def _of(load: Watched, server: str) -> list[Mapping[str, Any]]:
    return [receipt for receipt in load.receipts if receipt["server"] == server]


@each_load
def test_every_joule_of_the_shared_device_is_booked(watch: Watch, load: LoadName) -> None:
    assert_books_balance(watch(load).page)


@each_load
def test_the_exporter_survives_no_bug_and_ends_cleanly(watch: Watch, load: LoadName) -> None:
    over = watch(load)
    assert over.page.sum("llm_energy_exporter_faults_total") == 0
    assert over.exit_status == 0
    assert "Traceback" not in over.errors
