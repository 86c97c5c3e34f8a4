"""What a rule file is made of, and how it is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any, Literal

import yaml

Severity = Literal["critical", "warning", "info"]
"""Somebody should look now; in working hours; when they are there anyway."""

RUNBOOKS = "https://github.com/OWNER/llm-energy-exporter/blob/main/docs/runbooks"
"""Where `docs/runbooks` can be read: replace OWNER, or the whole of it, by your own place."""

INTERVAL_SECONDS = 60
"""How often rules are evaluated. It stands in the rules too: joules are sums of recorded watts times this."""

TARGETS = "instance, pod, node"
"""What tells one exporter from another. Nothing else of the target is named, so `cluster` and the like are kept."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule. Names are `level:metric:operations`, the level being the labels that tell its series apart."""

    name: str
    expr: str

    def written(self) -> dict[str, Any]:
        """As it stands in a rule file."""
        return {"record": self.name, "expr": _text(self.expr)}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert.

    Attributes:
        name: in CamelCase, with the product before it. Several alerts may share one and differ in `labels`.
        wait: how long it must hold, as Prometheus writes durations.
        summary: one line. description: what is so and how far, for somebody who has never seen it.
    """

    name: str
    expr: str
    wait: str
    severity: Severity
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def runbook(self) -> str:
        """The file under docs/runbooks."""
        return f"{kebab(self.name)}.md"

    def written(self) -> dict[str, Any]:
        """As it stands in a rule file."""
        return {
            "alert": self.name,
            "expr": _text(self.expr),
            "for": self.wait,
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": " ".join(self.description.split()),
                "runbook_url": f"{RUNBOOKS}/{self.runbook}",
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    rules: tuple[Recording | Alert, ...]


def kebab(name: str) -> str:
    """`LLMEnergyIdleWaste` as `llm-energy-idle-waste`."""
    spaced = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name.removeprefix("LLM"))
    return f"llm{spaced}"


def rule_file(groups: Iterable[Group], interval_seconds: int = INTERVAL_SECONDS, head: str = "") -> str:
    """The groups as a rule file. `head`: a comment, without its `#`."""
    content = {
        "groups": [
            {"name": one.name, "interval": f"{interval_seconds}s", "rules": [rule.written() for rule in one.rules]}
            for one in groups
        ]
    }
    comment = "".join(f"# {line}".rstrip() + "\n" for line in dedent(head).strip().splitlines())
    return comment + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


def _text(expr: str) -> str:
    """An expression as it is read best: one line stays one, more become a block."""
    text = dedent(expr).strip()
    return text + "\n" if "\n" in text else text


class _Dumper(yaml.SafeDumper):
    """Indents lists, and writes texts of several lines as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
