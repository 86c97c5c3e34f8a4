"""What the doctor finds where a log comes over the Kubernetes API."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.doctor.cluster import examine
from exporter.doctor.finding import Finding
from exporter.doctor.servers import examine as examine_servers
from exporter.domain.settings import KubernetesLog, ListenAddress, RequestSettings, ServerSettings
from exporter.domain.units import Instant
from tests.doctor.conftest import the
from tests.requests.arrival.api_server import SECOND, START, ApiServer, Canned, Pod, status

LOG = Path(__file__).parent.parent / "requests" / "logs" / "vllm-0.32.0-cpu-json.log"
NOW = Instant(START / SECOND + 60.0)
WORDS = 'pods "llm" is forbidden: User "system:serviceaccount:ml:exporter" cannot get resource "pods/log"'


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """In a thread of its own: the doctor waits for its answers."""
    loop, api = asyncio.new_event_loop(), ApiServer()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(api.start(), loop).result(10.0)
    yield api
    asyncio.run_coroutine_threadsafe(api.stop(), loop).result(10.0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _pod(**more: Any) -> Pod:
    texts = LOG.read_bytes().splitlines()
    return Pod(log=[(START + number, text) for number, text in enumerate(texts)], **more)


def _last(log: KubernetesLog) -> Finding:
    return examine(log, NOW).findings[-1]


def test_a_log_that_can_be_read_is_read_and_understood(server: ApiServer) -> None:
    server.pods["llm"] = _pod()
    requests = RequestSettings("vllm", kubernetes=server.settings(pod="llm"))
    findings = examine_servers([ServerSettings("chat", (requests,))], (), NOW, ListenAddress())
    said = [finding.text for finding in findings if finding.subject == "kubernetes"]
    assert "pod llm of namespace ml at http://127.0.0.1:" in said[0]
    assert said[1] == "pod llm: its log can be read, last written 59 seconds ago"
    assert the(findings, "lines").verdict == "ok"
    assert "in the whole log" in the(findings, "lines").text
    assert "with start" in the(findings, "requests").text


def test_of_a_long_log_the_end_is_looked_at(server: ApiServer) -> None:
    server.pods["llm"] = Pod(log=[(START + number, b"x") for number in range(5000)])
    (sample,) = examine(server.settings(pod="llm"), NOW).samples.values()
    assert len(sample.lines) == 2000
    assert "of its end" in sample.part
    assert server.asked[0] == {"timestamps": "true", "tailLines": "2000", "limitBytes": "262144"}


def test_a_missing_right_names_the_rule(server: ApiServer) -> None:
    server.canned.append(Canned(403, status(403, "Forbidden", WORDS)))
    found = _last(server.settings(pod="llm"))
    assert found.verdict == "fail"
    assert "service account exporter of namespace ml may not get pods/log" in found.text
    assert '{apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}' in found.fix


def test_a_selector_is_looked_up_and_its_right_is_named(server: ApiServer) -> None:
    for name in ("llm-a", "llm-b"):
        server.pods[name] = _pod(labels={"app": "llm"})
    log = server.settings(selector="app=llm", container="main")
    looked = examine(log, NOW)
    assert "selector app=llm finds 2 pods" in looked.findings[0].text
    assert set(looked.samples) == {"llm-a", "llm-b"}
    server.canned_lists.append(Canned(403, status(403, "Forbidden", "no")))
    assert 'resources: ["pods"], verbs: ["list"]' in _last(log).fix
    server.pods.clear()
    assert "finds no pod" in _last(log).text


def test_a_pod_that_is_not_there_yet_may_come(server: ApiServer) -> None:
    found = _last(server.settings(pod="llm"))
    assert found.verdict == "warn"
    assert "there is no such pod in namespace ml yet" in found.text


@pytest.mark.parametrize(
    ("log", "when", "verdict"),
    [([], NOW, "warn"), ([(START, b"x")], Instant(NOW + 1e6), "warn"), ([(START, b"x")], NOW, "ok")],
)
def test_an_empty_and_an_old_log_are_noticed(
    server: ApiServer, log: list[tuple[int, bytes]], when: Instant, verdict: str
) -> None:
    server.pods["llm"] = Pod(log=log)
    assert examine(server.settings(pod="llm"), when).findings[-1].verdict == verdict


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Canned(401, status(401, "Unauthorized", "Unauthorized")), "does not accept our token"),
        (Canned(503, "no time"), "the API server answers 503"),
        (Canned(404, "nginx"), "the answer is 404"),
    ],
)
def test_an_answer_that_is_no_log_fails_with_a_fix(server: ApiServer, answer: Canned, words: str) -> None:
    server.canned.append(answer)
    found = _last(server.settings(pod="llm"))
    assert (found.verdict, words in found.text) == ("fail", True)


def test_a_server_that_cannot_be_reached_fails_with_a_fix(server: ApiServer, unused_tcp_port: int) -> None:
    found = _last(KubernetesLog(pod="llm", namespace="ml", api=f"http://127.0.0.1:{unused_tcp_port}"))
    assert "no connection to the API server" in found.text
    assert "network policy" in found.fix
    found = _last(server.settings(pod="llm", token_file="/nowhere/token"))  # noqa: S106 - a file's name
    assert "check `token_file`" in found.fix


def test_outside_of_a_cluster_the_key_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    found = _last(KubernetesLog(pod="llm", namespace="ml"))
    assert found.text.startswith("kubernetes.api")
    assert "API server's URL" in found.fix
