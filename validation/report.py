"""Results as Markdown: what a reader sees first, stage by stage, figures before tables before plots."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from validation.results import Check, Figure, StageResult, Validation

FAKE = (
    "> **FAKE. Nothing on this page is a measurement.** It was made on the fake NVML, whose watts follow the CPU\n"
    "> time of the validation itself. It shows that the program runs from end to end, and nothing else.\n"
)

_PICTURES = (".png", ".svg")
_MOST_ROWS = 60
_ENDINGS: Mapping[str, str] = {"done": "done", "failed": "**failed**", "skipped": "skipped", "cut": "**cut short**"}
_ORDER: Mapping[bool | None, int] = {False: 0, None: 1, True: 2}
"""What did not hold stands first: a long table is cut."""
_VERDICTS: Mapping[bool | None, str] = {True: "held", False: "**did not hold**", None: "not decided"}


def markdown(validation: Validation) -> str:
    """The whole report; it ends with a newline."""
    parts = ["# What a GPU said\n", *_head(validation), _overview(validation)]
    parts += [part for stage in _told(validation) for part in _stage(stage, fake=validation.machine.fake)]
    return "\n".join(parts)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; its columns are the keys of the first."""
    if not rows:
        return "(no rows)\n"
    head = list(rows[0])
    lines = [_row(head), _row(["---"] * len(head))]
    lines += [_row([cell(row.get(key)) for key in head]) for row in rows[:_MOST_ROWS]]
    rest = len(rows) - _MOST_ROWS
    return "\n".join(lines) + "\n" + (f"\n({rest} more rows are in results.json)\n" if rest > 0 else "")


def cell(value: Any) -> str:
    """One value for people: four figures, and what is not known as a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " / ")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(validation: Validation) -> Iterator[str]:
    machine = validation.machine
    if machine.fake:
        yield FAKE
    began = datetime.fromtimestamp(validation.began, UTC).strftime("%Y-%m-%d %H:%M UTC")
    limit = f"{machine.power_limit_watts:g} W" if machine.power_limit_watts else "unknown"
    memory = f"{machine.memory_bytes / (1 << 30):.0f} GiB" if machine.memory_bytes else "memory unknown"
    gpu = machine.gpu or "no NVIDIA GPU"
    named = f"FAKE {gpu}" if machine.fake and "FAKE" not in gpu else gpu
    yield table(
        [
            {"": "GPU", "as found": f"{named}, {memory}, power limit {limit}"},
            {"": "driver", "as found": _joined(machine.driver, f"CUDA {machine.cuda}" if machine.cuda else "")},
            {"": "processor", "as found": f"{machine.processor}, {machine.cores} cores"},
            {"": "system", "as found": machine.system},
            {"": "Python", "as found": _versions(validation)},
            {"": "began", "as found": began},
            {"": "command", "as found": f"`{validation.command}`"},
        ]
    )


def _versions(validation: Validation) -> str:
    machine = validation.machine
    return _joined(
        machine.python,
        f"PyTorch {machine.torch or 'missing'}",
        f"Transformers {machine.transformers or 'missing'}",
        f"llm-energy-exporter {validation.version}",
    )


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _overview(validation: Validation) -> str:
    return table([_summary(stage) for stage in validation.stages])


def _summary(stage: StageResult) -> dict[str, Any]:
    held = [check.held for check in stage.checks]
    return {
        "stage": stage.stage,
        "ended": _ENDINGS[stage.ending],
        "seconds": round(stage.seconds),
        "checks that held": f"{held.count(True)} of {len(held)}" if held else None,
        "undecided": held.count(None) if held else None,
        "why": stage.why.splitlines()[-1] if stage.why else None,
    }


def _told(validation: Validation) -> list[StageResult]:
    """Those with more to say than the overview does."""
    return [stage for stage in validation.stages if stage.ending != "skipped"]


def _stage(stage: StageResult, *, fake: bool) -> Iterator[str]:
    yield f"## {stage.stage}{' (FAKE)' if fake else ''}\n"
    if stage.why:
        yield f"{_ENDINGS[stage.ending]}:\n\n```\n{stage.why}\n```\n"
    if stage.checks:
        yield table([_checked(check) for check in sorted(stage.checks, key=lambda check: _ORDER[check.held])])
    if stage.figures:
        yield table([_figured(figure) for figure in stage.figures])
    for title, rows in stage.tables.items():
        yield f"### {title}\n"
        yield table(rows)
    for name in stage.files:
        yield f"![{name}]({name})\n" if name.endswith(_PICTURES) else f"File: [{name}]({name})\n"


def _checked(check: Check) -> dict[str, Any]:
    return {"check": check.name, "expected": check.expected, "found": check.found, "": _VERDICTS[check.held]}


def _figured(figure: Figure) -> dict[str, Any]:
    spread = f"{cell(figure.low)} to {cell(figure.high)}" if figure.low is not None or figure.high is not None else None
    return {
        "figure": figure.name,
        "value": figure.value if figure.value is not None else "not known",
        "unit": figure.unit,
        "spread": spread,
        "n": figure.samples or None,
        "note": figure.note,
    }
