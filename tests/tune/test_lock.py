import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.domain.errors import TuneError
from exporter.tune.lock import holder, locked

HOLD = """
import sys
from exporter.tune.lock import locked
with locked("GPU-1", "gpu0"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding() -> subprocess.Popen[bytes]:
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def never(_seconds: float) -> None:
    """A wait that takes no time."""


def test_a_lock_names_its_holder_while_it_is_held() -> None:
    with locked("GPU-1", "gpu0"):
        assert holder("GPU-1") == os.getpid()
        assert holder("GPU-2") is None
    assert holder("GPU-1") is None


def test_a_second_tuner_is_refused_and_told_who_is_the_first() -> None:
    with (
        holding() as first,
        pytest.raises(TuneError, match=rf"gpu0 is being tuned by process {first.pid}: wait"),
        locked("GPU-1", "gpu0", never),
    ):
        pytest.fail("there are two tuners")


def test_another_device_is_free() -> None:
    with locked("GPU-1", "gpu0"), locked("GPU-2", "gpu1"):
        assert holder("GPU-2") == os.getpid()


def test_the_lock_dies_with_its_process() -> None:
    with holding() as first:
        first.kill()
        first.wait()
        with locked("GPU-1", "gpu0"):
            assert holder("GPU-1") == os.getpid()


def test_a_child_that_inherits_it_holds_it_and_is_waited_for_when_its_parent_is_gone(runtime: Path) -> None:
    with locked("GPU-1", "gpu0") as lock:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,))
        lock.path.write_text("999999999\n")  # as if its tuner had been killed
    waited = []

    def keeper_is_done(seconds: float) -> None:
        waited.append(seconds)
        child.communicate()

    with locked("GPU-1", "gpu0", keeper_is_done):
        assert holder("GPU-1") == os.getpid()
    assert waited
    assert lock.directory == runtime


def test_what_says_nothing_of_itself_is_waited_for_only_so_long() -> None:
    with locked("GPU-1", "gpu0") as lock:
        lock.path.write_text("")
        with pytest.raises(TuneError, match="by another process"), locked("GPU-1", "gpu0", never):
            pytest.fail("there are two tuners")


def test_a_lock_that_is_a_link_is_not_followed(runtime: Path, tmp_path: Path) -> None:
    runtime.mkdir()
    (runtime / "GPU-1.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(TuneError, match="without a lock gpu0 is not tuned"), locked("GPU-1", "gpu0"):
        pytest.fail("it was followed")
    assert not (tmp_path / "victim").exists()
