"""Transformers' continuous batching as a server under test: see `batching_server` for what it is and is not."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from validation.options import Options
from validation.programs import Program, ProgramError
from validation.results import Check, Figure, MachineFacts
from validation.serving.batching_cache import FILLED
from validation.serving.batching_server import LOG_OPTIONS, SHAPES
from validation.serving.gguf import Shape, tensors_of
from validation.serving.run import Bearing, Served, ServerFailedError
from validation.serving.starting import starting
from validation.stage import Room

_CHECKOUT = Path(__file__).parents[2]
_OLDEST = 5
"""Transformers' major version whose continuous batching this knows."""
_FULL = Bearing(64, 2048, 1024)
_LESS: Final[Mapping[str, Bearing]] = {
    "sdpa": Bearing(16, 1024, 512),
    "static": Bearing(16, 1024, 512),
    "eager": Bearing(8, 512, 256),
}
"""What is asked of a server whose attention computes far more than it has to."""
_MEMORY_USED = 0.85
_SECOND_SHARE = 0.5
"""Of the time for a start that has to be left for a second one."""
_FIRST_TOKEN = 256
_QUIET: Final[Mapping[str, str]] = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True, slots=True)
class Build:
    """Which model on what.

    Attributes:
        model: of `SHAPES`. device: of PyTorch. threads: on the CPU; 0: as many as it likes.
        bearing: which loads it is started for. start_seconds: how long that may take.
    """

    model: str
    device: str
    bearing: Bearing
    start_seconds: float
    threads: int = 0

    @property
    def shape(self) -> Shape:
        """Of the model."""
        return SHAPES[self.model]


def servers(options: Options) -> tuple["BatchingServer", ...]:
    """Those of a validation: two 8B classes on the GPU; on the fake, a tiny model on the CPU."""
    if options.fake:
        return (BatchingServer(Build("tiny", "cpu", Bearing(8, 256, 256), 60.0, threads=1)),)
    return tuple(BatchingServer(Build(model, "cuda", _FULL, 90.0)) for model in ("llama-8b", "qwen3-8b"))


class BatchingServer:
    """Our own HTTP front around Transformers' engine, as a process."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._program: Program | None = None
        self._folder: Path | None = None

    @property
    def name(self) -> str:
        """`transformers-llama-3.1-8b-bf16`."""
        return f"transformers-{self._build.shape.name.lower()}-{self._dtype}"

    @property
    def kind(self) -> str:
        """Of the server."""
        return "transformers"

    @property
    def model(self) -> str:
        """What it serves."""
        return f"{self._build.shape.name} shapes, {self._dtype}, random weights"

    @property
    def start_seconds(self) -> float:
        """How long a start may take."""
        return self._build.start_seconds

    def unable(self, machine: MachineFacts) -> str:
        """Why it cannot run on this machine."""
        if not machine.torch or not machine.transformers:
            return "PyTorch and Transformers are not both installed"
        if int(machine.transformers.partition(".")[0]) < _OLDEST:
            return f"Transformers {machine.transformers}: its continuous batching is known from {_OLDEST}.0 on"
        if self._build.device != "cpu" and "+cpu" in machine.torch:
            return f"PyTorch {machine.torch} is a build without CUDA"
        if self._build.device != "cpu" and fitting(self._build, machine.memory_bytes) is None:
            return f"{machine.memory_bytes / 1e9:.0f} GB on the GPU are too few for {self.model}"
        return ""

    def start(self, room: Room) -> Served:
        """Start it, and wait until it answers."""
        with starting(self):
            return self._started(self._fitted(room.machine), room)

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._program is not None and self._program.alive()

    def stop(self) -> None:
        """Stop it, and delete what it wrote."""
        if self._program is not None:
            self._program.stop()
            self._program = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def _dtype(self) -> str:
        return "f32" if self._build.device == "cpu" else "bf16"

    def _started(self, build: Build, room: Room) -> Served:
        """A way that ends the process may have broken the device for it: a second process goes without that way."""
        try:
            return self._run(build, "", room, "")
        except ProgramError as error:
            self.stop()
            if room.left() < _SECOND_SHARE * build.start_seconds:
                raise
            room.say(f"{self.name}: once more without FlashAttention: {error}")
            return self._run(build, "sdpa,eager,static", room, str(error))

    def _fitted(self, machine: MachineFacts) -> Build:
        if self._build.device == "cpu":
            return self._build
        bearing = fitting(self._build, machine.memory_bytes)
        if bearing is None:
            raise ServerFailedError(f"{self.name}: {self.unable(machine)}")
        return replace(self._build, bearing=bearing)

    def _run(self, build: Build, ways: str, room: Room, gave_up: str) -> Served:
        self._folder = folder = room.scratch / self.name
        folder.mkdir(parents=True, exist_ok=True)
        log, ready = folder / "requests.jsonl", folder / "ready.json"
        log.touch()
        began = room.now()
        self._program = Program(
            _command(build, ways, log, ready),
            folder / "server.log",
            environment={**os.environ, **_QUIET},
            folder=_CHECKOUT,
        )
        self._program.await_ready(ready.is_file, room, build.start_seconds)
        told = json.loads(ready.read_text(encoding="utf-8"))
        told["seconds"] = room.now() - began
        room.say(f"{self.name}: attention by {told['way']}, answers after {told['seconds']:.1f} s")
        return self._served(build, told, log, self._program.pid, gave_up)

    def _served(self, build: Build, told: Mapping[str, Any], log: Path, pid: int, gave_up: str) -> Served:
        return Served(
            url=told["url"],
            pid=pid,
            model=build.model,
            log=log,
            source="jsonl",
            options=LOG_OPTIONS,
            told_ids=True,
            metrics_url=f"{told['url']}/metrics",
            first_token=_FIRST_TOKEN,
            tokens=min(build.shape.tokens - _FIRST_TOKEN, 1024),
            bearing=_no_more_than(build.bearing, _LESS.get(told["way"], build.bearing)),
            checks=(_way_check(self.name, build, told, gave_up),),
            figures=(
                Figure(f"{self.name}: starting", told["seconds"], "s", note="PyTorch, weights, and the engine's proof"),
                Figure(f"{self.name}: tokens as expected", told["agreed"], "ratio", note="up to where rows part"),
            ),
        )


def _command(build: Build, ways: str, log: Path, ready: Path) -> list[str]:
    command = [sys.executable, "-m", "validation.serving.batching_server"]
    command += ["--model", build.model, "--device", build.device, "--log", str(log), "--ready", str(ready)]
    command += ["--concurrency", str(build.bearing.concurrency), "--threads", str(build.threads)]
    command += ["--prompt-tokens", str(build.bearing.prompt_tokens)]
    command += ["--output-tokens", str(build.bearing.output_tokens)]
    return [*command, "--attention", ways] if ways else command


def _way_check(name: str, build: Build, told: Mapping[str, Any], gave_up: str) -> Check:
    before = [*told["failed"], *([f"a first process: {gave_up.splitlines()[0]}"] if gave_up else [])]
    found = f"{told['way']}, {told['agreed']:.0%} of tokens agree, on {build.device}"
    return Check(
        f"{name}: batches continuously",
        "requests join and leave at each step, attention by FlashAttention as PyTorch ships it",
        "; ".join([found, *(f"tried before: {one}" for one in before)]),
        told["way"] == "flash",
    )


def fitting(build: Build, memory_bytes: int) -> Bearing | None:
    """The most requests at once whose cache fits beside the weights; None: not even eight. 0 bytes: not known."""
    if not memory_bytes:
        return build.bearing
    room = _MEMORY_USED * memory_bytes - 2 * sum(tensor.elements for tensor in tensors_of(build.shape))
    request = build.shape.kv_bytes_per_token() * (build.bearing.prompt_tokens + build.bearing.output_tokens)
    most = int(room * FILLED / request)
    if most < min(8, build.bearing.concurrency):
        return None
    return replace(build.bearing, concurrency=min(most, build.bearing.concurrency))


def _no_more_than(one: Bearing, other: Bearing) -> Bearing:
    return Bearing(
        min(one.concurrency, other.concurrency),
        min(one.prompt_tokens, other.prompt_tokens),
        min(one.output_tokens, other.output_tokens),
    )
