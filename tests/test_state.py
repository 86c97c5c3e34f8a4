"""State is what was saved last, whole, or it is set aside and says so."""

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.domain.errors import StateError
from exporter.state import StateStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore.open(tmp_path)
    yield store
    store.close()


@pytest.fixture
def not_root(tmp_path: Path) -> Iterator[None]:
    """We may not write to the directory, even where the tests run as root, who may write anywhere."""
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    user = os.geteuid()
    os.seteuid(user or 65534)
    yield
    os.seteuid(user)


def _saved(directory: Path, **values: bytes) -> None:
    store = StateStore.open(directory)
    store.save(values)
    store.close()


def _tamper(directory: Path, statement: str) -> None:
    database = sqlite3.connect(directory / "state.db")
    with database:
        database.execute(statement)
    database.close()


def _aside(directory: Path) -> list[Path]:
    return sorted(directory.glob("state.db.corrupt-*Z"))


def test_what_was_saved_is_loaded_by_the_next_process(tmp_path: Path) -> None:
    _saved(tmp_path, a=b"1", b=b"\x00" * 100_000, c=b"")
    store = StateStore.open(tmp_path)
    assert store.notice is None
    assert store.load() == {"a": b"1", "b": b"\x00" * 100_000, "c": b""}
    store.close()


def test_changes_replace_and_delete_and_leave_the_rest(store: StateStore) -> None:
    store.save({"a": b"1", "b": b"2", "c": b"3"})
    store.save({"a": b"4", "b": None, "unknown": None})
    assert store.load() == {"a": b"4", "c": b"3"}


def test_a_save_that_fails_saves_nothing(store: StateStore) -> None:
    store.save({"a": b"1"})
    store._database.execute("PRAGMA query_only = ON")
    with pytest.raises(StateError, match="cannot be saved"):
        store.save({"a": b"2", "b": b"3"})
    store._database.execute("PRAGMA query_only = OFF")
    assert store.load() == {"a": b"1"}
    store.save({"a": b"5"})
    assert store.load() == {"a": b"5"}


def test_closing_twice_is_once(tmp_path: Path) -> None:
    store = StateStore.open(tmp_path)
    store.close()
    store.close()


class TestStateThatCannotBeTrusted:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda _: b"not a database at all",
            lambda whole: b"\xff" * len(whole),
            lambda whole: whole[: len(whole) // 2],
            lambda whole: whole[:1000],
            lambda whole: whole[:100] + b"\xa5" * 3000 + whole[3100:],
            lambda whole: whole.replace(b"precious", b"perverse"),
        ],
    )
    def test_a_damaged_file_is_set_aside_and_a_new_one_begins(self, tmp_path: Path, damage: object) -> None:
        _saved(tmp_path, a=b"precious" * 1000, b=b"more")
        path = tmp_path / "state.db"
        damaged = damage(path.read_bytes())  # type: ignore[operator]
        path.write_bytes(damaged)
        store = StateStore.open(tmp_path)
        assert store.load() == {}
        (aside,) = _aside(tmp_path)
        assert aside.read_bytes() == damaged
        assert store.notice is not None
        assert str(aside) in store.notice
        store.save({"a": b"new"})
        store.close()
        again = StateStore.open(tmp_path)
        assert again.load() == {"a": b"new"}
        again.close()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE entry SET value = X'00'",
            "UPDATE entry SET value = 'text'",
            "UPDATE entry SET key = 'b'",
            "UPDATE entry SET key = NULL",
            "DROP TABLE entry",
            "PRAGMA user_version = 2",
            "PRAGMA user_version = 0",
        ],
    )
    def test_altered_foreign_and_newer_state_is_set_aside(self, tmp_path: Path, statement: str) -> None:
        _saved(tmp_path, a=b"1")
        _tamper(tmp_path, statement)
        store = StateStore.open(tmp_path)
        assert store.load() == {}
        assert store.notice
        assert len(_aside(tmp_path)) == 1
        store.close()

    def test_the_latest_few_are_kept(self, tmp_path: Path) -> None:
        for number in range(6):
            (tmp_path / "state.db").write_text(f"damage {number}")
            StateStore.open(tmp_path).close()
            (tmp_path / "state.db").unlink()
        assert [path.read_text() for path in _aside(tmp_path)] == ["damage 3", "damage 4", "damage 5"]


class TestDirectory:
    def test_one_that_is_missing_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="does not exist: create it"):
            StateStore.open(tmp_path / "missing")

    def test_one_that_is_a_file_is_an_error_that_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StateError, match="writable directory"):
            StateStore.open(tmp_path / "file")

    @pytest.mark.usefixtures("not_root")
    def test_one_that_is_read_only_is_an_error_that_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="writable directory for user"):
            StateStore.open(tmp_path)

    def test_a_directory_where_the_file_should_be_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "state.db").mkdir()
        with pytest.raises(StateError, match="cannot be used"):
            StateStore.open(tmp_path)

    def test_a_second_owner_is_refused_and_told_who_the_first_is(self, tmp_path: Path, store: StateStore) -> None:
        with pytest.raises(StateError, match=f"in use by process {os.getpid()}: give each exporter its own"):
            StateStore.open(tmp_path)
        store.close()
        StateStore.open(tmp_path).close()

    def test_a_failed_opening_leaves_no_lock_behind(self, tmp_path: Path) -> None:
        (tmp_path / "state.db").mkdir()
        with pytest.raises(StateError):
            StateStore.open(tmp_path)
        (tmp_path / "state.db").rmdir()
        StateStore.open(tmp_path).close()


_SAVES_FOR_EVER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from exporter.state import StateStore

    store = StateStore.open(Path(sys.argv[1]))
    number = int(store.load().get("first", b"0"))
    while True:
        number += 1
        value = str(number).encode()
        store.save({"first": value, "bulk": value * 3000, "odd": value if number % 2 else None, "last": value})
        print(number, flush=True)
""")


def test_a_process_killed_at_any_moment_leaves_exactly_one_of_the_states_it_saved(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311 - it decides about nothing but a test
    acknowledged = 0
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", _SAVES_FOR_EVER, tmp_path], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(dice.random() * 0.02)  # the moment of death is the point
            process.send_signal(signal.SIGKILL)
            heard = process.stdout.read().split(b"\n")
        acknowledged = max([acknowledged, *(int(line) for line in heard[:-1])])
        store = StateStore.open(tmp_path)
        state = store.load()
        store.close()
        assert store.notice is None
        number = int(state["last"])
        value = state["last"]
        expected = {"first": value, "bulk": value * 3000, "last": value} | ({"odd": value} if number % 2 else {})
        assert state == expected
        assert number >= acknowledged
