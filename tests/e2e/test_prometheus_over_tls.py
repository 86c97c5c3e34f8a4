"""A real Prometheus scrapes the real exporter over TLS with a client certificate and a password, through a renewal."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from tests.e2e.prometheus import Prometheus, running_prometheus
from tests.e2e.web import free_port, wait_until
from tests.server.access.authority import Authority, Pair, found, needs_openssl

pytestmark = [pytest.mark.e2e, needs_openssl]

PATIENCE_SECONDS = 60.0
ENDS = "llm_energy_exporter_web_certificate_expiry_timestamp_seconds"
GOOD = "llm_energy_exporter_web_config_last_reload_successful"
SOURCE_TREE = Path(__file__).parents[2]


@contextmanager
def exporting(config: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Starts an exporter that meters the CPU; yields its address."""
    file, address = folder / "config.yaml", f"127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump({"power": {"source": "cpu"}, **config}))
    command = [sys.executable, "-m", "exporter", "run", "--config", str(file), "--listen", address]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCE_TREE)}
    with (folder / "stderr").open("wb") as log, subprocess.Popen(command, stderr=log, env=environment) as process:
        try:
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, (folder / "stderr").read_text()


def install(pair: Pair, folder: Path) -> None:
    """As cert-manager does: both files are new."""
    for source, name in ((pair.certificate, "tls.crt"), (pair.key, "tls.key")):
        fresh = folder / f"{name}.new"
        fresh.write_bytes(source.read_bytes())
        fresh.rename(folder / name)


def is_up(prometheus: Prometheus) -> bool:
    return list(prometheus.query("up").values()) == [1.0]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return found(tmp_path_factory.mktemp("authority"))


def test_prometheus_scrapes_through_a_renewal_and_through_a_broken_file(
    authority: Authority, prometheus_program: str, tmp_path: Path
) -> None:
    install(authority.signs("server", days=30), tmp_path)
    client = authority.signs("prometheus", usage="clientAuth")
    web = tmp_path / "web.yml"
    tls = {
        "cert_file": "tls.crt",
        "key_file": "tls.key",
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": str(authority.pair.certificate),
    }
    users = {"prometheus": bcrypt.hashpw(b"a password", bcrypt.gensalt(10)).decode()}
    web.write_text(yaml.safe_dump({"tls_server_config": tls, "basic_auth_users": users}))
    scrape = {
        "scheme": "https",
        "basic_auth": {"username": "prometheus", "password": "a password"},
        "tls_config": {
            "ca_file": str(authority.pair.certificate),
            "cert_file": str(client.certificate),
            "key_file": str(client.key),
        },
    }
    with (
        exporting({"web": {"config_file": str(web), "probes": "closed"}}, tmp_path) as address,
        running_prometheus(prometheus_program, f"https://{address}", tmp_path, scrape) as prometheus,
    ):
        wait_until(lambda: is_up(prometheus), PATIENCE_SECONDS, "the exporter is scraped")
        before = prometheus.value(ENDS)
        install(authority.signs("renewed", days=60), tmp_path)
        wait_until(
            lambda: prometheus.value(ENDS) > before + 20 * 86_400, PATIENCE_SECONDS, "the new certificate is in use"
        )
        assert prometheus.value(GOOD) == 1
        web.write_text("basic_auth_users: {prometheus: gone}")
        wait_until(lambda: prometheus.value(GOOD) == 0, PATIENCE_SECONDS, "the broken file is said to be broken")
        assert prometheus.value("min_over_time(up[30s:1s])") == 1


def test_prometheus_is_refused_with_another_password(
    authority: Authority, prometheus_program: str, tmp_path: Path
) -> None:
    pair = authority.signs("server")
    content = {
        "tls_server_config": {"cert_file": str(pair.certificate), "key_file": str(pair.key)},
        "basic_auth_users": {"prometheus": bcrypt.hashpw(b"a password", bcrypt.gensalt(4)).decode()},
    }
    (tmp_path / "web.yml").write_text(yaml.safe_dump(content))
    scrape = {
        "scheme": "https",
        "tls_config": {"ca_file": str(authority.pair.certificate)},
        "basic_auth": {"username": "prometheus", "password": "another"},
    }
    with (
        exporting({"web": {"config_file": str(tmp_path / "web.yml")}}, tmp_path) as address,
        running_prometheus(prometheus_program, f"https://{address}", tmp_path, scrape) as prometheus,
    ):
        wait_until(
            lambda: any("401" in target["lastError"] for target in prometheus.targets()),
            PATIENCE_SECONDS,
            "it is refused",
        )
        assert list(prometheus.query("up").values()) == [0.0]
