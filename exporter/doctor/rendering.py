"""Findings as text: narrow enough for a split terminal, coloured only on one."""

import os
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from exporter.doctor import words
from exporter.doctor.finding import Finding, Verdict

WIDTH = 100
_SUBJECT = 12
_INDENT = len("  [FAIL] ") + _SUBJECT + 1

_MARKS: dict[Verdict, str] = {"ok": "[ ok ]", "note": "[note]", "warn": "[warn]", "fail": "[FAIL]"}
_COLOURS: dict[Verdict, str] = {"ok": "32", "note": "36", "warn": "33", "fail": "31;1"}


def write_section(findings: Sequence[Finding], out: TextIO) -> None:
    """Write one section under its heading."""
    out.writelines(f"{finding.section}\n" for finding in findings[:1])
    out.writelines(
        "".join(f"{line}\n" for line in _lines(finding, coloured=_takes_colour(out))) for finding in findings
    )
    out.write("\n")
    out.flush()


def write_conclusion(findings: Sequence[Finding], out: TextIO) -> None:
    """Write how it stands as a whole."""
    failed = [finding for finding in findings if finding.verdict == "fail"]
    warnings = words.count(sum(finding.verdict == "warn" for finding in findings), "warning")
    if failed:
        sections = Counter(finding.section for finding in failed)
        where = ", ".join(f"{section} ({number})" for section, number in sections.items())
        out.write(f"{words.count(len(failed), 'problem')}: {where}. Each is marked {_MARKS['fail']} above.\n")
    else:
        out.write("Ready.\n" if warnings.startswith("0") else f"Ready. {warnings} above.\n")


def _lines(finding: Finding, *, coloured: bool) -> list[str]:
    mark = _MARKS[finding.verdict]
    head = f"  {mark} {finding.subject:<{_SUBJECT}} "
    lines = [_filled(finding.text, head, " " * _INDENT)]
    lines += [_filled(finding.fix, " " * _INDENT + "-> ", " " * (_INDENT + 3))] if finding.fix else []
    lines += [_filled(detail, " " * _INDENT, " " * (_INDENT + 2)) for detail in finding.details]
    if coloured:
        lines[0] = lines[0].replace(mark, f"\x1b[{_COLOURS[finding.verdict]}m{mark}\x1b[0m", 1)
    return lines


def _filled(text: str, first: str, later: str) -> str:
    """Wrapped, without ever breaking a path or an option."""
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _takes_colour(out: TextIO) -> bool:
    return out.isatty() and "NO_COLOR" not in os.environ
