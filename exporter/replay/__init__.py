"""`llm-energy-exporter replay`: a recorded session through the whole pipeline again, as fast as this machine can.

Told what was told then, the pipeline says what it said then, to the last bit; told the same with other settings, it
says what they would have made of it. Several policies are told at once, so the file is read once.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from exporter.domain.settings import PolicyName, ProxyName
from exporter.recording.recording import Recording
from exporter.replay.export import exporting
from exporter.replay.progress import Progress
from exporter.replay.result import Result, as_json, as_text
from exporter.replay.session import POLICIES, Session

__all__ = ["ReplayOptions", "replay", "run"]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What a user may choose.

    Attributes:
        policies: those to try, the one whose books are shown first; the recorded one is replayed in any case, as the
            yardstick, and alone where this is empty.
        compare: try all others, too.
        proxies: to try instead of the recorded ones; None keeps those.
        folders: where tables go, by format: `csv`, `parquet`.
        leave_open: leave unsettled what was unsettled when the recording ended, instead of closing the books.
        json: print JSON instead of text.
    """

    policies: Sequence[PolicyName] = ()
    compare: bool = False
    proxies: tuple[ProxyName, ...] | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)
    leave_open: bool = False
    json: bool = False


def run(path: Path, options: ReplayOptions, out: TextIO) -> int:
    """Replay a recording and print what came out. Returns the exit status.

    Raises:
        RecordingError: the file is no recording, or garbled; or a table cannot be written.
        UsageError: Parquet is wanted, and pyarrow is not installed.
    """
    result = replay(path, options, Progress(sys.stderr))
    out.write(json.dumps(as_json(result), indent=1, allow_nan=False) + "\n" if options.json else as_text(result))
    return 0


def replay(path: Path, options: ReplayOptions, progress: Progress) -> Result:
    """Replay a recording; raises as `run` does."""
    with Recording(path) as recording, exporting(options.folders) as export:
        recorded = recording.header.settings.attribution.policy
        policies = [*(options.policies or [recorded]), *(POLICIES if options.compare else ())]
        session = Session(recording, policies, options.proxies, export)
        return session.play(progress, leave_open=options.leave_open)
