"""What is wrong with a log is said in words for a person, survived, and tried again."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.requests.arrival import Bounds
from tests.requests.arrival.arriving import Follow, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def _problem(follow: Follow, path: Path) -> str:
    return follow.follower.tally.problems[str(path)]


def test_a_file_that_is_not_there_yet_is_waited_for(log: Path) -> None:
    follow = Follow(log)
    assert follow.texts() == []
    assert "as soon as it is there" in _problem(follow, log)
    write(log, "1\n")
    assert follow.texts(after=1.0) == ["1"]
    assert follow.follower.tally.problems == {}


def test_a_directory_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    pattern = tmp_path / "later" / "*.log"
    follow = Follow(pattern)
    assert follow.texts() == []
    assert _problem(follow, pattern)
    pattern.parent.mkdir()
    write(pattern.parent / "a.log", "1\n")
    assert follow.texts(after=1.0) == ["1"]
    assert follow.follower.tally.problems == {}


def test_a_directory_in_place_of_a_file_is_refused_until_a_file_is_there(log: Path) -> None:
    log.mkdir()
    follow = Follow(log)
    assert follow.texts() == []
    assert f"{log}/*.log" in _problem(follow, log)
    log.rmdir()
    write(log, "1\n")
    assert follow.texts(after=1.0) == ["1"]


def test_a_directory_that_takes_a_followed_files_place_is_refused(log: Path) -> None:
    write(log, "")
    follow = Follow(log)
    follow.texts()
    write(log, "1\n")
    log.rename(log.with_suffix(".1"))
    log.mkdir()
    assert follow.texts() == ["1"]
    assert "directory" in _problem(follow, log)


def test_a_pipe_is_refused_without_opening_it(log: Path) -> None:
    os.mkfifo(log)
    follow = Follow(log)
    assert follow.texts() == []
    assert "standard input" in _problem(follow, log)
    with pytest.raises(OSError, match="No such device"):  # ENXIO: nobody has it open for reading
        os.open(log, os.O_WRONLY | os.O_NONBLOCK)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("log")
        follow = Follow("log")
        assert follow.texts() == []
    assert "no regular file" in _problem(follow, Path("log"))


def test_a_symlink_that_leads_nowhere_is_said_and_followed_once_it_leads_somewhere(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    follow = Follow(link)
    assert follow.texts() == []
    assert "target is missing" in _problem(follow, link)
    write(tmp_path / "target", "1\n")
    assert follow.texts(after=1.0) == ["1"]


def test_a_compressed_file_that_is_named_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "server.log.gz", "x\n")
    follow = Follow(tmp_path / "server.log.gz", start_at="beginning")
    assert follow.texts() == []
    assert "compressed" in _problem(follow, tmp_path / "server.log.gz")


class Locked:
    """Files that refuse to be opened, also to root."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: set[Path] = set()
        really_open = os.open

        def guarded(path: Any, flags: int, mode: int = 0o777) -> int:
            if Path(path) in self.paths:
                raise PermissionError(13, "Permission denied", path)
            return really_open(path, flags, mode)

        monkeypatch.setattr(os, "open", guarded)


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Locked:
    return Locked(monkeypatch)


def test_an_unreadable_file_is_said_and_followed_from_where_we_first_saw_it(log: Path, locked: Locked) -> None:
    write(log, "old\nhalf ")
    locked.paths.add(log)
    follow = Follow(log)
    assert follow.texts() == []
    assert "right to read it" in _problem(follow, log)
    write(log, "a line\nnew\n")
    assert follow.texts(after=1.0) == []
    locked.paths.clear()
    assert follow.texts(after=1.0) == ["half a line", "new"]
    assert follow.follower.tally.problems == {}


def test_an_unreadable_file_is_read_on_after_restarts(log: Path, locked: Locked) -> None:
    write(log, "1\n")
    follow = Follow(log, start_at="beginning")
    assert follow.texts() == ["1"]
    write(log, "2\n")
    locked.paths.add(log)
    for _ in range(2):
        follow.restart()
        assert follow.texts() == []
    locked.paths.clear()
    assert follow.texts(after=1.0) == ["2"]


def test_a_file_that_fails_while_it_is_read_is_read_on_when_it_recovers(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, "1\n")
    follow = Follow(log, start_at="beginning")
    assert follow.texts() == ["1"]
    write(log, "2\n")

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", broken)
        assert follow.texts() == []
        assert "Input/output error" in _problem(follow, log)
        assert follow.texts(after=1.0) == []
    assert follow.texts(after=1.0) == ["2"]
    assert follow.follower.tally.problems == {}


@pytest.fixture
def locked_directory(tmp_path: Path) -> Iterator[Path]:
    """A directory that we may neither list nor search, even where the tests run as root, who may do anything."""
    directory = tmp_path / "locked"
    directory.mkdir()
    write(directory / "a.log", "1\n")
    directory.chmod(0)
    user = os.geteuid()
    os.seteuid(user or 65534)
    yield directory
    os.seteuid(user)
    directory.chmod(0o700)


@pytest.mark.parametrize("name", ["a.log", "*.log", "[ab].log", "**/a.log"])
def test_a_directory_that_is_locked_is_said(locked_directory: Path, name: str) -> None:
    follow = Follow(locked_directory / name)
    assert follow.texts() == []
    assert "search its directory" in _problem(follow, locked_directory / name)


def test_garbage_is_lines_like_any_other(log: Path) -> None:
    write(log, bytes(range(256)) + b"\n\xff\xfe\n\xe2\x98\ngood\n")
    follow = Follow(log, start_at="beginning")
    lines = follow.texts()
    assert lines[-3:] == ["\ufffd\ufffd", "\ufffd", "good"]


def test_a_file_of_zeros_costs_bounded_memory(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(50 << 20)
    write(log, "\ngood\n")
    follow = Follow(log, start_at="beginning", bounds=Bounds(poll_bytes=8 << 20))
    assert follow.all_texts() == ["good"]
    assert follow.follower.tally.dropped == {"line_too_long": 1}


def test_an_inode_used_again_is_a_new_file(log: Path) -> None:
    write(log, "old\n")
    follow = Follow(log, start_at="beginning")
    assert follow.texts() == ["old"]
    saved = follow.follower.snapshot()
    follow.follower.close()
    (mark,) = saved["files"]
    log.write_text("NEW LONGER LINE\n")
    assert log.stat().st_ino == mark["inode"]
    again = Follow(log, start_at="beginning")
    again.follower.restore(saved)
    assert again.texts() == ["NEW LONGER LINE"]


@pytest.fixture
def descriptors() -> Iterator[None]:
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.usefixtures("descriptors")
def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    follow = Follow(tmp_path / "*.log", start_at="beginning")
    for number in range(10):
        path = tmp_path / f"{number % 3}.log"
        write(path, f"{number}\n")
        follow.texts(after=1.0)
        path.unlink()
        follow.texts(after=6.0)
    follow.restart()
    follow.texts()
    follow.follower.close()
    follow.follower.close()
