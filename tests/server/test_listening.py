import errno
import socket
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession, web

from exporter.domain.errors import ListenError
from exporter.domain.settings import ListenAddress
from exporter.server import serve


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


async def refusal(host: str, port: int) -> str:
    with pytest.raises(ListenError) as raised:
        await serve(web.Application(), ListenAddress(host, port))
    return str(raised.value)


async def test_port_zero_takes_a_free_one_and_tells_it() -> None:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = await serve(app, ListenAddress("127.0.0.1", 0))
    port = runner.addresses[0][1]
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as answer:
        assert await answer.text() == "hello"
    await runner.cleanup()


async def test_a_port_in_use_says_what_to_change(taken_port: int) -> None:
    assert await refusal("127.0.0.1", taken_port) == (
        f"cannot listen on 127.0.0.1:{taken_port}: another program listens there; "
        "stop it, or change `listen` (--listen HOST:PORT)"
    )


async def test_an_address_of_another_machine_says_so() -> None:
    assert "this machine has no such address" in await refusal("192.0.2.1", 0)


async def test_a_host_that_nobody_knows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert "the host name is not known" in await refusal("nowhere", 0)


async def test_a_privileged_port_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, PermissionError(errno.EACCES, "Permission denied"))
    assert "ports below 1024 need a privilege" in await refusal("127.0.0.1", 80)


async def test_any_other_refusal_is_told_in_the_systems_words(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, OSError("could not bind on any address"))
    assert await refusal("127.0.0.1", 80) == "cannot listen on 127.0.0.1:80: could not bind on any address"


def answer_with(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """A system that refuses in ways that no test can bring about on every machine."""

    class Refused(web.TCPSite):
        async def start(self) -> None:
            raise error

    monkeypatch.setattr(web, "TCPSite", Refused)
