"""Findings as text."""

import io

import pytest

from exporter.doctor.finding import Finding, Verdict
from exporter.doctor.rendering import WIDTH, write_conclusion, write_section

LONG = "a rather long explanation of what was found here, " * 5


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _finding(verdict: Verdict) -> Finding:
    return Finding("State", "state_dir", verdict, LONG, f"mend it: {LONG}", (LONG,))


def _written(*findings: Finding, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    write_section(findings, out)
    return out.getvalue()


def _concluded(*verdicts: Verdict) -> str:
    out = io.StringIO()
    write_conclusion([_finding(verdict) for verdict in verdicts], out)
    return out.getvalue()


def test_lines_are_narrow_and_aligned() -> None:
    heading, *lines = _written(_finding("ok"), _finding("fail")).rstrip("\n").split("\n")
    assert heading == "State"
    assert max(len(line) for line in lines) <= WIDTH
    assert {line[:22].strip() for line in lines} == {"", "[ ok ] state_dir", "[FAIL] state_dir"}


def test_the_fix_stands_under_what_it_fixes() -> None:
    lines = _written(Finding("State", "x", "fail", "it is broken", "mend it")).split("\n")
    assert lines[1].endswith("it is broken")
    assert lines[2].strip() == "-> mend it"


def test_a_failure_without_a_fix_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Finding("State", "x", "fail", "it is broken")


def test_only_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" in _written(_finding("fail"), out=Terminal())
    assert "\x1b" not in _written(_finding("fail"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in _written(_finding("fail"), out=Terminal())


def test_the_conclusion_counts_what_must_be_mended() -> None:
    assert _concluded("ok", "note") == "Ready.\n"
    assert _concluded("ok", "warn") == "Ready. 1 warning above.\n"
    assert _concluded("fail", "warn", "fail") == "2 problems: State (2). Each is marked [FAIL] above.\n"
