"""What the doctor finds."""

from dataclasses import dataclass
from typing import Literal

Section = Literal["This machine", "Power", "Servers", "State", "Listening"]
Verdict = Literal["ok", "note", "warn", "fail"]
"""All is well; good to know; works, but less well than it could; must be mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: where it belongs.
        subject: what was looked at, in a word or two.
        verdict: how it is.
        text: what was found, in plain words.
        fix: what to do about it; never empty for `fail`.
        details: more lines to read, a thought each.
    """

    section: Section
    subject: str
    verdict: Verdict
    text: str
    fix: str = ""
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.fix or self.verdict != "fail", f"a failure names its fix: {self.text}"
