"""Telling never costs the program: whatever the exporter does, it goes on, and what is lost is counted."""

import base64
import logging
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.client import EnergyClient, default_client
from exporter.client import client as client_module
from tests.client.listener import Hand, Listener, client_of, listening
from tests.e2e.web import free_port

BUSY = (503, {"error": "too much was told at once"})


def open_windows(client: EnergyClient, count: int) -> None:
    for _ in range(count):
        with client.window("step"):
            pass


def test_an_exporter_that_is_not_there_costs_nothing_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    client = EnergyClient(f"http://127.0.0.1:{free_port()}")
    with caplog.at_level(logging.WARNING, "exporter.client"):
        open_windows(client, 20)
        assert not client.flush(0.3)
        assert client.dropped == 0, "they are kept for when it comes"
        assert "ConnectionRefusedError" in client.problem
        assert not client.close(0.2)
    assert client.dropped == 20
    assert len(caplog.records) == 2, "one warning for the trouble, one for the loss"
    open_windows(client, 1)
    assert client.dropped == 21
    assert len(caplog.records) == 2


def test_what_waits_is_bounded_and_the_oldest_is_lost_first(listener: Listener) -> None:
    listener.hanging.clear()
    client = client_of(listener, most_waiting=10)
    busy = client.window("busy").begin()
    while not listener.paths:  # the sender is at work on the start of this one
        pass
    open_windows(client, 50)
    busy.end()
    listener.hanging.set()
    assert client.flush()
    client.close()
    kept = [int(line["id"].rpartition("-")[2]) for line in listener.wholes]
    assert kept == [47, 48, 49, 50, 51, 1], (
        "the latest, of which each has a start and an end; and the one that began first"
    )
    assert client.dropped == 45


def test_an_exporter_that_hangs_does_not_hold_up_the_program() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        client = EnergyClient(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=5.0)
        open_windows(client, 5)
        assert not client.flush(0.0)
        assert not client.close(0.0)
        assert client.dropped == 5, "a post that still hangs is given up"
        client = EnergyClient(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=0.2)
        open_windows(client, 5)
        assert not client.flush(0.5)
        assert "TimeoutError" in client.problem
        assert not client.close(0.0)
        assert client.dropped == 5


@pytest.mark.parametrize("status", [503, 429, 500])
def test_what_is_refused_for_now_is_told_again(listener: Listener, client: EnergyClient, status: int) -> None:
    listener.answers = [(status, BUSY[1]), (status, BUSY[1])]
    open_windows(client, 3)
    assert client.flush()
    assert client.dropped == 0
    assert client.problem == ""
    assert listener.posts[0] == listener.posts[1] == listener.posts[2]
    assert len(listener.posts[2]) == 3


def test_an_exporter_that_restarts_is_told_what_happened_meanwhile(hand: Hand) -> None:
    with listening() as first:
        port = first.server_address[1]
        client = client_of(first, hand)
        open_windows(client, 1)
        assert client.flush()
        assert len(first.wholes) == 1
    open_windows(client, 5)
    assert not client.flush(0.2)
    with listening(port) as second:
        assert client.flush(5.0)
        assert len(second.wholes) == 5
        client.close()
    assert client.dropped == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, "no server is told of here: add one\n"), "it answered 404: no server is told of here: add one"),
        ((401, "who are you?"), "it answered 401: who are you?"),
        ((200, "<html>"), "it answered 200: <html>"),
    ],
)
def test_what_is_refused_for_good_is_lost_and_counted(
    listener: Listener,
    client: EnergyClient,
    answer: tuple[int, str],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener.answers = [answer]
    open_windows(client, 2)
    assert client.flush()
    assert client.dropped == 2
    assert client.problem.startswith(words)
    assert words in caplog.text
    assert len(listener.posts) == 1
    open_windows(client, 1)
    assert client.flush()
    assert (client.dropped, client.problem) == (2, "")


def test_a_line_that_is_refused_is_lost_and_its_neighbours_are_not(listener: Listener, client: EnergyClient) -> None:
    listener.answers = [(200, {"accepted": 1, "duplicates": 0, "rejected": [{"line": 2, "error": "id: was told"}]})]
    first, second = client.window("first"), client.window("second")
    for one in (first, second):
        with one:
            pass
    assert client.flush()
    assert client.dropped == 1
    assert second.energy(0) is None
    assert second.unknown.endswith("was not told: the exporter refused it: id: was told")


def test_many_threads_lose_nothing(listener: Listener) -> None:
    client = client_of(listener)
    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(open_windows, client, 50) for _ in range(16)]:
            done.result()
    assert client.flush()
    client.close()
    assert client.dropped == 0
    assert len({line["id"] for line in listener.wholes}) == len(listener.wholes) == 800
    assert len(listener.posts) < 50


def test_the_connection_is_kept(listener: Listener, client: EnergyClient) -> None:
    open_windows(client, 1)
    assert client.flush()
    (port,) = {one["Host"] for one in listener.headers}
    assert port == listener.url.removeprefix("http://")
    threads = threading.active_count()
    open_windows(client, 1)
    assert client.flush()
    assert threading.active_count() == threads, "no further connection was handled"


def test_a_password_in_the_url_is_sent_and_not_said(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    listener.answers = [(403, "no")]
    url = listener.url.replace("//", "//alice:s%20cret@") + "/energy/"
    with EnergyClient(url, headers={"X-Scope": "a"}) as client:
        open_windows(client, 1)
        client.flush()
    (head,) = listener.headers
    assert head["Authorization"] == "Basic " + base64.b64encode(b"alice:s cret").decode()
    assert head["X-Scope"] == "a"
    assert listener.paths == ["/energy/api/v1/events"]
    assert "403" in caplog.text
    assert "cret" not in caplog.text


@pytest.mark.parametrize("url", ["localhost:9460", "ftp://x", "http://", "http://[bad"])
def test_an_address_that_is_none_is_said_so_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        EnergyClient(url)


# --- the program's own client -------------------------------------------------------------------------------------


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_defaults", [])


@pytest.mark.usefixtures("no_default")
def test_the_environment_says_where_the_exporter_is(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGY_EXPORTER_URL", listener.url)
    monkeypatch.setenv("ENERGY_EXPORTER_SERVER", "train")
    open_windows(default_client(), 1)
    assert default_client().close()
    assert [line["server"] for line in listener.wholes] == ["train"]


@pytest.mark.usefixtures("no_default")
def test_an_empty_address_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGY_EXPORTER_URL", "")
    threads = threading.active_count()
    with default_client().window("step") as one:
        pass
    assert default_client().off
    assert threading.active_count() == threads
    assert one.energy() is None
    assert one.unknown == "windows are told to nobody: the exporter's URL is empty"
    assert default_client().dropped == 0


@pytest.mark.usefixtures("no_default")
def test_a_wrong_address_in_the_environment_does_not_end_a_program(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ENERGY_EXPORTER_URL", "localhost:9460")
    open_windows(default_client(), 1)
    assert default_client().off
    assert "ENERGY_EXPORTER_URL is not used" in caplog.text


def test_a_program_tells_its_last_windows_when_it_ends(listener: Listener) -> None:
    program = "from exporter.client import window\nwith window('last'): pass"
    environment = {**os.environ, "ENERGY_EXPORTER_URL": listener.url}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60, check=True)
    assert done.stderr == b""
    assert [line["id"].partition("/")[0] for line in listener.wholes] == ["last"]


def test_a_program_ends_in_time_where_nobody_listens() -> None:
    program = "from exporter.client import window\nwith window('last'): pass"
    environment = {**os.environ, "ENERGY_EXPORTER_URL": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=20, check=True)
    assert b"the program goes on" in done.stderr


# --- forks -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_tells_its_own_windows_and_not_its_parents(listener: Listener, client: EnergyClient) -> None:
    listener.hanging.clear()
    with client.window("parents"):
        open_windows(client, 3)  # some of them wait in the queue now
        child = os.fork()
        if child == 0:  # the child of a test has a life of its own
            os._exit(_of_a_child(client))
        listener.hanging.set()
        assert os.waitpid(child, 0)[1] == 0
    assert client.flush()
    names = [line["id"].partition("/")[0] for line in listener.wholes]
    assert sorted(names) == ["childs", "childs", "parents", "step", "step", "step"]
    assert len({line["id"] for line in listener.wholes}) == 6
    assert client.dropped == 0


def _of_a_child(client: EnergyClient) -> int:
    for _ in range(2):
        with client.window("childs"):
            pass
    return 0 if client.flush(10.0) and client.dropped == 0 else 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_window_that_was_open_at_a_fork_is_the_parents(listener: Listener, client: EnergyClient) -> None:
    with client.window("both") as both:
        child = os.fork()
    if child == 0:
        os._exit(0 if client.flush(10.0) and both.energy(0) is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert client.flush()
    assert len(listener.wholes) == 1
