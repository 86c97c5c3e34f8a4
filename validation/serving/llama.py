"""llama-server under test: a Vulkan build on the GPU, or the CPU for `--fake`, with random weights.

Its log is read at verbosity 4: only there it says on which device the weights lie. What is asked of its memory by NVML
says the same a second time, and does not depend on words.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from validation.options import Options
from validation.programs import Program, ProgramError, answers, free_port
from validation.results import Check, Figure, MachineFacts
from validation.serving import board, gguf
from validation.serving.binary import Installed, installed, on_cpu, on_gpu
from validation.serving.run import Bearing, Served, ServerFailedError
from validation.serving.starting import starting
from validation.stage import Room

START_SECONDS = 90.0
_BUFFER = re.compile(r"load_tensors:\s+(?P<device>\S+) model buffer size =\s*(?P<size>[\d.]+) MiB")
_SPARE_BYTES = 2e9
"""Left on the disk."""


class LlamaServer:
    """See `ServerUnderTest`.

    Args:
        shape: of the model. weights: type of its matrices.
        options: where the server is, and whether all is fake.
        bearing: which loads it is started for.
    """

    kind = "llama-server"
    start_seconds = START_SECONDS

    def __init__(self, shape: gguf.Shape, weights: gguf.Weights, options: Options, bearing: Bearing) -> None:
        self._shape, self._weights, self._options, self._bearing = shape, weights, options, bearing
        self._program: Program | None = None
        self._model: Path | None = None

    @property
    def name(self) -> str:
        """Of this server with this model."""
        return f"{self.kind}-{self._shape.name.split()[0]}-{self._weights}".lower()

    @property
    def model(self) -> str:
        """In words."""
        return f"{self._shape.name} in {self._weights.upper()} with {self._shape.tokens:,} words, random weights"

    def unable(self, machine: MachineFacts) -> str:
        """Whether there is a llama-server and a GPU that is seen shows only when it is started."""
        if machine.fake == self._options.fake and (machine.fake or machine.gpu):
            return ""
        return "no NVIDIA GPU"

    def start(self, room: Room) -> Served:
        """Find it, write its weights, start it, see where they are."""
        with starting(self):
            return self._start(room)

    def alive(self) -> bool:
        """Whether it runs."""
        return self._program is not None and self._program.alive()

    def stop(self) -> None:
        """Stop it, delete its weights."""
        if self._program is not None:
            self._program.stop()
        if self._model is not None:
            self._model.unlink(missing_ok=True)
        self._program = self._model = None

    def _start(self, room: Room) -> Served:
        folder = room.scratch / self.name
        folder.mkdir(parents=True, exist_ok=True)
        binary = installed(self._options.llama_server, folder)
        found = on_cpu(binary) if self._options.fake else on_gpu(binary, folder)
        room.say(f"{self.name}: on {found.what}")
        wrote_seconds = self._write(folder, room)
        began, before = room.now(), board.memory_used()
        try:
            self._program, url, log = self._launched(found, folder, room)
        except ProgramError as error:
            fewer = replace(self._bearing, concurrency=max(self._bearing.concurrency // 4, 1))
            room.say(f"{self.name}: tries again with {fewer.concurrency} slots: {error}")
            self._bearing = fewer
            self._program, url, log = self._launched(found, folder, room)
        loaded_seconds = room.now() - began
        room.say(f"{self.name}: answers after {loaded_seconds:.1f} s")
        return Served(
            url=url,
            pid=self._program.pid,
            model=self.name,
            log=log,
            source="llamacpp",
            metrics_url=f"{url}/metrics",
            first_token=gguf.ASCII_TOKENS,
            tokens=self._shape.tokens - gguf.ASCII_TOKENS - gguf.CONTROL_TOKENS,
            bearing=self._bearing,
            checks=tuple(self._checks(log, found, _grown(before, board.memory_used()))),
            figures=(
                Figure(f"{self.name}: writing its weights", wrote_seconds, "s"),
                Figure(f"{self.name}: starting", loaded_seconds, "s"),
            ),
        )

    def _launched(self, found: Installed, folder: Path, room: Room) -> tuple[Program, str, Path]:
        """The server, once it answers; where; its log.

        Raises:
            ProgramError: it does not.
        """
        slots = self._bearing.concurrency
        log, url = folder / f"server-{slots}.log", f"http://127.0.0.1:{free_port()}"
        program = Program(self._command(found, url), log, found.environment)
        try:
            program.await_ready(lambda: answers(f"{url}/health"), room, self.start_seconds)
        except BaseException:
            program.stop()
            raise
        return program, url, log

    def _write(self, folder: Path, room: Room) -> float:
        """Its weights; seconds.

        Raises:
            ServerFailedError: they do not fit.
        """
        size = gguf.bytes_of(self._shape, self._weights)
        free = shutil.disk_usage(folder).free
        if free < size + _SPARE_BYTES * (size > _SPARE_BYTES):
            raise ServerFailedError(
                f"{folder} has room for {free / 1e9:.1f} GB, and the weights are {size / 1e9:.1f} GB: choose --scratch"
            )
        began, self._model = room.now(), folder / "model.gguf"
        gguf.write(self._model, self._shape, self._weights)
        seconds = room.now() - began
        room.say(f"{self.name}: wrote {size / 1e9:.2f} GB of random weights in {seconds:.1f} s")
        return seconds

    def _command(self, found: Installed, url: str) -> list[str]:
        slots = self._bearing.concurrency
        each = self._bearing.prompt_tokens + self._bearing.output_tokens
        placed = ["--device", "none"] if found.device is None else ["--device", found.device, "-ngl", "999"]
        return [
            *(str(found.binary), "--model", str(self._model), "--alias", self.name),
            *("--host", "127.0.0.1", "--port", url.rpartition(":")[2]),
            *("--parallel", str(slots), "--ctx-size", str(slots * each), "--no-kv-unified"),
            *placed,
            *(("--threads", "1") if self._options.fake else ("--threads", "4")),
            *("--fit", "off", "--cache-ram", "0", "--metrics", "--no-ui", "-lv", "4"),
        ]

    def _checks(self, log: Path, found: Installed, grown: float | None) -> Iterator[Check]:
        if found.device is None:
            return
        buffers = {line["device"]: float(line["size"]) for line in _BUFFER.finditer(log.read_text(errors="replace"))}
        told = ", ".join(f"{size:.0f} MiB on {device}" for device, size in buffers.items())
        weights = gguf.bytes_of(self._shape, self._weights) / 2**20
        held = buffers.get(found.device, 0.0) > weights / 2 if buffers else None
        yield Check(
            f"{self.name}: runs on the GPU, by its log", f"most of {weights:.0f} MiB on {found.device}", told, held
        )
        yield Check(
            f"{self.name}: runs on the GPU, by NVML",
            f"at least {weights / 2:.0f} MiB more in use",
            "NVML does not say" if grown is None else f"{grown / 2**20:.0f} MiB more in use",
            None if grown is None else grown / 2**20 > weights / 2,
        )


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
