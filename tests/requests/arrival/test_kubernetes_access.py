"""Where the API server is, by which right it is asked, and whom it must be."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from yarl import URL

from exporter.domain.errors import ConfigError
from exporter.domain.settings import KubernetesLog
from exporter.requests.arrival.kubernetes.access import Access, access_to
from exporter.requests.arrival.kubernetes.logs import KubernetesLogs
from exporter.requests.arrival.opening import open_arrival
from tests.requests.arrival.api_server import START, ApiServer, Pod
from tests.requests.arrival.following import Following

CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "namespace").write_text("ml")
    (folder / "token").write_text("t")
    return folder


def test_in_a_pod_everything_is_found(account: Path) -> None:
    access = access_to(KubernetesLog(pod="llm"), CLUSTER, account)
    assert access == Access(URL("https://10.0.0.1:6443"), "ml", account / "token", account / "ca.crt")
    assert str(access.log("llm")) == "https://10.0.0.1:6443/api/v1/namespaces/ml/pods/llm/log"


def test_the_server_may_have_an_ipv6_address(account: Path) -> None:
    access = access_to(KubernetesLog(pod="llm"), {"KUBERNETES_SERVICE_HOST": "fd00::1"}, account)
    assert str(access.api) == "https://[fd00::1]"


def test_what_is_configured_goes_before_what_is_found(account: Path) -> None:
    log = KubernetesLog(pod="llm", namespace="other", token_file="/t", ca_file="/c")  # noqa: S106 - a file's name
    access = access_to(log, CLUSTER, account)
    assert access == Access(URL("https://10.0.0.1:6443"), "other", Path("/t"), Path("/c"))


def test_our_pods_token_goes_to_our_clusters_server_only(account: Path) -> None:
    access = access_to(KubernetesLog(pod="llm", api="https://elsewhere:6443/prefix"), CLUSTER, account)
    assert access.token_file is None
    assert str(access.pods()) == "https://elsewhere:6443/prefix/api/v1/namespaces/ml/pods"


@pytest.mark.parametrize(
    ("log", "path", "words"),
    [
        (KubernetesLog(pod="llm"), "api", "this is not a pod"),
        (KubernetesLog(), "pod", "one of the two"),
        (KubernetesLog(pod="llm", selector="app=llm"), "pod", "one of the two"),
        (KubernetesLog(pod="../../secrets"), "pod", "no name that Kubernetes knows"),
        (KubernetesLog(pod="llm", container="a b"), "container", "no name that Kubernetes knows"),
        (KubernetesLog(pod="llm", namespace="ML"), "namespace", "no name that Kubernetes knows"),
        (KubernetesLog(pod="llm", api="10.0.0.1:6443"), "api", "write https://HOST:PORT"),
        (KubernetesLog(pod="llm", api="ftp://a"), "api", "write https://HOST:PORT"),
        (KubernetesLog(pod="llm", api="http://a", token_file="/t"), "api", "unencrypted"),  # noqa: S106 - a file's name
    ],
)
def test_what_cannot_be_is_refused_by_its_key(account: Path, log: KubernetesLog, path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        access_to(log, {}, account)
    assert refused.value.path == path


def test_outside_of_a_pod_the_namespace_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name it") as refused:
        access_to(KubernetesLog(pod="llm", api="https://a"), {}, tmp_path)
    assert refused.value.path == "namespace"


def test_a_log_of_the_kubernetes_api_is_opened_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    log = KubernetesLog(pod="llm", namespace="ml", api="https://a")
    assert isinstance(open_arrival((), kubernetes=log), KubernetesLogs)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError) as refused:
        open_arrival((), kubernetes=KubernetesLog(pod="llm", namespace="ml"))
    assert refused.value.path == "kubernetes.api"


# Encryption


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that is its own authority, for 127.0.0.1."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(folder / "key.pem")]
    names = [
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-days",
        "2",
        "-out",
        str(folder / "ca.pem"),
    ]
    subprocess.run([openssl, "req", "-x509", *key, *names], check=True, capture_output=True)
    return folder


async def _encrypted(folder: Path) -> ApiServer:
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    server = ApiServer()
    await server.start(trust)
    server.pods["llm"] = Pod(log=[(START, b"a")])
    return server


def _settings(server: ApiServer, ca_file: str | None) -> KubernetesLog:
    return KubernetesLog(pod="llm", namespace="ml", api=f"https://127.0.0.1:{server.port}", ca_file=ca_file)


async def test_a_server_with_a_certificate_of_the_given_authority_is_trusted(authority: Path) -> None:
    server = await _encrypted(authority)
    one = Following(_settings(server, str(authority / "ca.pem")))
    await one.until_lines(1)
    server.pods["llm"].restart()
    server.pods["llm"].write(START + 1, "b")
    await one.until_lines(2)
    one.arrival.close()
    await asyncio.sleep(0.05)
    await server.stop()


@pytest.mark.parametrize("ca_file", [None, "/nowhere/ca.pem", __file__])
async def test_a_server_that_nobody_vouches_for_is_told_nothing(authority: Path, ca_file: str | None) -> None:
    server = await _encrypted(authority)
    one = Following(_settings(server, ca_file))
    await one.until(lambda: bool(one.arrival.tally.problems))
    (problem,) = one.arrival.tally.problems.values()
    assert "`ca_file`" in problem
    assert server.asked == []
    one.arrival.close()
    await asyncio.sleep(0.05)
    await server.stop()
