"""What a recording says of itself, in words."""

from exporter.recording.entries import Header


def when_and_where(header: Header) -> str:
    """The day, and the kind of machine: `2026-11-21; AMD EPYC, 2 cores`."""
    machine = header.machine
    return f"{header.wall[:10]}; {machine.processor or machine.system}, {machine.cores} cores"
