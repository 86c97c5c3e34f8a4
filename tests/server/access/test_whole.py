"""`web` as a whole: from the configuration to what is answered."""

import re
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from exporter.app import exporting
from exporter.cli.settings import CHECKS
from exporter.config import parse
from exporter.config.webfile import parse as parse_web
from exporter.domain.errors import ConfigError
from exporter.domain.settings import ListenAddress, PowerSettings, Settings, WebSettings
from exporter.server import build
from tests.metrics.examples import published
from tests.server.access.conftest import HASH, basic, written

PAGE = Path(__file__).parents[3] / "docs" / "SECURITY.md"


def settings(web: WebSettings) -> Settings:
    return Settings(power=PowerSettings(("none",)), listen=ListenAddress("127.0.0.1", 0), web=web)


async def test_an_exporter_does_not_start_with_a_web_file_that_is_wrong(tmp_path: Path) -> None:
    file = written(tmp_path, "basic_auth_users: {alice: secret}")
    with pytest.raises(ConfigError) as raised:
        async with exporting(settings(WebSettings(str(file)))):
            pass
    assert str(raised.value).startswith(f"web.config_file: {file}: basic_auth_users.alice: must be a bcrypt hash")


async def test_an_exporter_does_not_start_without_the_web_file_that_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web\.config_file: .*nowhere\.yml cannot be read: No such file"):
        async with exporting(settings(WebSettings(str(tmp_path / "nowhere.yml")))):
            pass


async def test_a_running_exporter_counts_whom_it_refused(tmp_path: Path) -> None:
    file = written(tmp_path, {"basic_auth_users": {"alice": HASH}})
    async with exporting(settings(WebSettings(str(file)))) as exporter, ClientSession() as session:
        for headers, status in (({}, 401), (basic("alice", "correct horse"), 200)):
            async with session.get(f"{exporter.url}/metrics", headers=headers) as answer:
                assert answer.status == status
                page = await answer.text()
    assert 'llm_energy_exporter_web_refusals_total{reason="no_password"} 1.0' in page
    assert "llm_energy_exporter_web_config_last_reload_successful 1.0" in page


@pytest.mark.parametrize("path", ["/api/v1/requests", "/api/v1/requests/req-1"])
async def test_no_single_request_is_told_of_where_that_is_off(path: str) -> None:
    async with TestClient(TestServer(build(published, lambda: True, api="off"))) as client:
        answer = await client.get(path)
        assert (answer.status, "`web.api`" in await answer.text()) == (404, True)
        assert (await client.get("/metrics")).status == 200


def test_what_the_page_on_security_shows_can_be_used() -> None:
    configuration, web = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert parse(configuration, {}, CHECKS).web == WebSettings("/etc/llm-energy-exporter/web.yaml", "recent", "open")
    file = parse_web(web.encode(), Path("/etc/llm-energy-exporter/web.yaml"))
    assert file.tls is not None
    assert (file.tls.cert_file, list(file.users)) == ("/etc/llm-energy-exporter/tls.crt", ["prometheus"])
