"""Whether a device is still set to something that a tuner should have put back."""

from collections.abc import Iterator
from pathlib import Path

from exporter import undo
from exporter.doctor.finding import Finding
from exporter.doctor.locks import KERNEL, is_held
from exporter.domain.errors import TuneError


def examine(locks: Path = KERNEL) -> tuple[Finding, ...]:
    """Look for undo files, without touching them or their devices; nothing is found where there are none."""
    return tuple(_findings(locks))


def _findings(locks: Path) -> Iterator[Finding]:
    for path in undo.left_over():
        try:
            file = undo.read(path)
        except TuneError as error:
            yield Finding("Power", "tuning", "warn", "an undo file of a tuner cannot be read", str(error))
        else:
            yield _finding(file, locks)


def _finding(file: undo.UndoFile, locks: Path) -> Finding:
    if is_held(file.lock, locks):
        text = f"{file.undo.device} is being tuned now; its tuner will put back {file.undo.words}"
        return Finding("Power", "tuning", "note", text)
    if file.forgotten:
        text = f"{file.path} is left from before this machine was started, which undid what was changed"
        return Finding("Power", "tuning", "note", text, "llm-energy-exporter tune --restore removes it")
    text = f"a tuner of {file.undo.device} was killed with its keeper, and {file.undo.words} was not put back"
    return Finding("Power", "tuning", "warn", text, f"llm-energy-exporter tune --restore, or {file.undo.command}")
