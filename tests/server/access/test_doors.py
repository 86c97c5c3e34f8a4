"""Requests are let in or refused, over a real connection."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.settings import ProbeAccess
from exporter.server.access.doors import _credentials
from tests.server.access.conftest import HASH, PASSWORD, basic, listening, written

RIGHT = basic("alice", PASSWORD)
EVERYTHING = ("/", "/metrics", "/api/v1/requests", "/api/v1/proxy", "/api/v1/calibration", "/no/such/page")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, {"basic_auth_users": {"alice": HASH}})


@pytest.mark.parametrize("path", EVERYTHING)
async def test_nothing_is_told_without_a_password(file: Path, path: str) -> None:
    async with listening(file) as listener:
        status, body, headers = await listener.get(path)
        assert (status, body) == (401, "this needs a user name and a password\n")
        assert headers["WWW-Authenticate"].startswith("Basic realm=")
        assert headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in headers


@pytest.mark.parametrize("path", ["/v1/traces", "/api/v1/events"])
async def test_nothing_is_taken_without_a_password(file: Path, path: str) -> None:
    async with listening(file) as listener:
        assert (await listener.get(path, method="POST", data=io.BytesIO(b"x" * 3_000_000)))[0] == 401
        assert (await listener.get(path, method="POST", data=b"x", headers=RIGHT))[0] == 404  # nobody is told of here


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/requests"])
async def test_everything_is_told_with_one(file: Path, path: str) -> None:
    async with listening(file) as listener:
        assert (await listener.get(path, headers=RIGHT))[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        *("", "Basic", "Basic ", "Basic !!!", "Bearer abc", "Basic " + base64.b64encode(b"no colon").decode()),
        *(
            "Basic " + base64.b64encode(each).decode()
            for each in (b":", b"alice:", b"alice:wrong", b"bob:correct horse")
        ),
        "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode(),
        "Basic " + base64.b64encode(b"alice:" + b"x" * 5000).decode(),
    ],
)
async def test_whatever_else_is_shown_is_answered_alike(file: Path, header: str) -> None:
    async with listening(file) as listener:
        status, body, _ = await listener.get("/metrics", headers={"Authorization": header})
        assert (status, body) == (401, "this needs a user name and a password\n")


async def test_a_header_beyond_measure_is_refused_and_the_next_request_is_served(file: Path) -> None:
    async with listening(file) as listener:
        status, _, _ = await listener.get("/metrics", headers={"Authorization": "Basic " + "QUJD" * 20_000})
        assert status == 400
        assert (await listener.get("/metrics", headers=RIGHT))[0] == 200


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
def test_no_header_is_too_strange(header: str) -> None:
    for each in (header, f"Basic {header}", "Basic " + base64.b64encode(header.encode()).decode()):
        shown = _credentials(each)
        assert shown is None or b":" not in shown[0]


@pytest.mark.parametrize(("probes", "status"), [("open", 200), ("closed", 401)])
async def test_probes_need_a_password_where_they_are_closed(file: Path, probes: ProbeAccess, status: int) -> None:
    async with listening(file, probes) as listener:
        for path in ("/-/healthy", "/-/ready"):
            assert (await listener.get(path))[0] == status


@pytest.mark.parametrize("path", ["/-/healthy/", "/-/", "//-/healthy", "/-/../metrics", "/-/healthy/../../metrics"])
async def test_what_only_looks_like_a_probe_is_none(file: Path, path: str) -> None:
    async with listening(file) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(listener.url.rpartition(":")[2]))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
        writer.close()


async def test_refusals_are_counted_by_reason(file: Path) -> None:
    async with listening(file) as listener:
        await listener.get("/metrics")
        await listener.get("/metrics", headers=basic("alice", "wrong"))
        await listener.get("/metrics", headers=RIGHT)
        await listener.get("/-/healthy")
        assert listener.doors.view().refused == {"no_password": 1, "wrong_password": 1}


async def test_too_many_passwords_at_once_are_told_to_come_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.server.access.passwords.MOST_WAITING", 0)
    async with listening(file) as listener:
        status, _, headers = await listener.get("/metrics", headers=RIGHT)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert listener.doors.view().refused == {"too_many_passwords": 1}


async def test_a_limit_holds_for_everything_but_open_probes(tmp_path: Path) -> None:
    file = written(tmp_path, {"rate_limit": {"interval": "1h", "burst": 2}})
    async with listening(file) as listener:
        statuses = [(await listener.get("/metrics"))[0] for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        assert (await listener.get("/-/healthy"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/no/such/page", "/metrics", "/-/healthy"])
async def test_headers_are_on_every_answer(tmp_path: Path, path: str) -> None:
    headers = {"X-Frame-Options": "sameorigin", "Strict-Transport-Security": "max-age=60"}
    content: dict[str, Any] = {"http_server_config": {"headers": headers}}
    async with listening(written(tmp_path, content)) as listener:
        assert headers.items() <= dict((await listener.get(path))[2]).items()


async def test_who_is_a_user_follows_the_file(file: Path) -> None:
    async with listening(file) as listener:
        assert (await listener.get("/metrics", headers=RIGHT))[0] == 200
        written(file.parent, {"basic_auth_users": {"bob-by-another-name": HASH}})
        assert (await listener.get("/metrics", headers=RIGHT))[0] == 401
        assert (await listener.get("/metrics", headers=basic("bob-by-another-name", PASSWORD)))[0] == 200


@pytest.mark.parametrize("broken", ["basic_auth_users: {alice: not-a-hash}", "nonsense: 1", ": : :", "\x00"])
async def test_a_broken_file_keeps_what_was_there_and_says_so_once(
    file: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(file) as listener:
        written(file.parent, broken)
        for _ in range(3):
            assert (await listener.get("/metrics"))[0] == 401
            assert (await listener.get("/metrics", headers=RIGHT))[0] == 200
        assert not listener.doors.view().good
        assert [str(file) in record.message for record in caplog.records if record.levelname == "ERROR"] == [True]
        assert "not-a-hash" not in caplog.text
        written(file.parent, {"basic_auth_users": {"alice": HASH}})
        await listener.get("/metrics")
        assert listener.doors.view().good


async def test_a_file_that_is_gone_keeps_what_was_there(file: Path) -> None:
    async with listening(file) as listener:
        file.unlink()  # noqa: ASYNC240 - a file that was just written
        assert (await listener.get("/metrics"))[0] == 401
        assert (await listener.get("/metrics", headers=RIGHT))[0] == 200
        assert not listener.doors.view().good
