"""What must be put back on a device, written down before it is changed.

A power limit and locked clocks outlive the process that set them. So whoever changes one first writes an undo file,
named by the device's UUID, into a runtime directory that is forgotten at reboot, as the driver forgets its settings;
and removes it when everything is as it was. An undo file that nobody holds the lock of tells of a change whose
makers were all killed: `tune` puts it back before it does anything else, `tune --restore` does nothing but that.

The runtime directory is the first of these that can be used: what `RUNTIME_DIRECTORY` says (systemd sets it),
/run/llm-energy-exporter, the same under XDG_RUNTIME_DIR, and one in the directory for temporary files.
"""

import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from exporter.domain.errors import TuneError

NAME = "llm-energy-exporter"
SUFFIX = ".undo.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Undo:
    """How one device was before it was changed.

    Attributes:
        device: `gpu0`. uuid: the vendor's identity of it.
        milliwatts: the power limit to put back; None: its locked clocks are to be reset.
    """

    device: str
    uuid: str
    milliwatts: int | None

    @property
    def words(self) -> str:
        """What will be as it was: `the power limit of gpu0 (700 W)`."""
        if self.milliwatts is None:
            return f"the clocks of {self.device} (not locked)"
        return f"the power limit of {self.device} ({self.milliwatts / 1e3:g} W)"

    @property
    def command(self) -> str:
        """What a person can type to the same end."""
        return f"nvidia-smi -i {self.uuid} " + ("-rgc" if self.milliwatts is None else f"-pl {self.milliwatts / 1e3:g}")


@dataclass(frozen=True, slots=True)
class UndoFile:
    """An undo file and what it says. `forgotten`: the machine was started anew since, which undid the change."""

    path: Path
    undo: Undo
    forgotten: bool = False

    @property
    def lock(self) -> Path:
        """The lock of the device, which a tuner holds while it runs, and its keeper until all is put back."""
        return lock_of(self.path.parent, self.undo.uuid)

    def remove(self) -> None:
        """Nothing is left to be put back."""
        with suppress(FileNotFoundError):
            self.path.unlink()


def lock_of(directory: Path, uuid: str) -> Path:
    """The lock of a device in a runtime directory, which need not be there."""
    return directory / f"{uuid}.lock"


def file_of(directory: Path, undo: Undo) -> UndoFile:
    """The file of this device in a runtime directory, which need not be there."""
    return UndoFile(directory / f"{undo.uuid}{SUFFIX}", undo)


def write(directory: Path, undo: Undo) -> UndoFile:
    """Write it down, so that it is still there if the machine's programs are all killed the next moment.

    Raises:
        TuneError: it cannot be written; then nothing may be changed.
    """
    file = file_of(directory, undo)
    try:
        _write_through(
            file.path, json.dumps({**asdict(undo), "boot": _boot(), "command": undo.command}, indent=1) + "\n"
        )
    except OSError as error:
        raise TuneError(f"{file.path}: {error.strerror}: without it nothing is changed") from error
    return file


def read(path: Path) -> UndoFile:
    """An undo file.

    Raises:
        TuneError: it does not say what to put back.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        undo = Undo(str(said["device"]), str(said["uuid"]), _milliwatts(said["milliwatts"]))
        return UndoFile(path, undo, forgotten=said.get("boot") != _boot())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TuneError(
            f"{path} does not say what to put back ({error}): look at nvidia-smi -q -d POWER,CLOCK, mend the device "
            "by hand, and remove the file"
        ) from error


def left_over(environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """The undo files that this user can see; those of a running tuner are among them."""
    for place in places(environment):
        with suppress(OSError):
            yield from sorted(place.glob(f"*{SUFFIX}"))


def places(environment: Mapping[str, str] = os.environ) -> Sequence[Path]:
    """Where the runtime directory may be, the best first."""
    if given := environment.get("RUNTIME_DIRECTORY"):
        return [Path(given.split(":")[0])]
    users = environment.get("XDG_RUNTIME_DIR")
    temporary = Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"
    return [Path("/run") / NAME, *([Path(users) / NAME] if users else []), temporary]


def runtime_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """The runtime directory, made where it was missing: ours, and writable by nobody else.

    Raises:
        TuneError: none of the places can be used.
    """
    tried = places(environment)
    for place in tried:
        if _is_ours(place):
            return place
    names = ", ".join(map(str, tried))
    raise TuneError(f"no runtime directory: none of {names} can be made or belongs to user {os.geteuid()} alone")


def _is_ours(place: Path) -> bool:
    try:
        place.mkdir(mode=0o755, exist_ok=True)
        status = place.lstat()
    except OSError:
        return False
    alone = status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and alone and os.access(place, os.W_OK | os.X_OK)


def _write_through(path: Path, text: str) -> None:
    fresh = path.with_suffix(".fresh")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _milliwatts(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"milliwatts: {value!r}")
    return value


def _boot() -> str:
    """Which start of the machine this is; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
