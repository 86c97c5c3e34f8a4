"""Asking a Prometheus: its HTTP API, and what may go wrong there."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.domain.errors import ReportError
from exporter.web import Web

_NOT_FOUND, _SERVER_ERROR = 404, 500
_TOO_MUCH = ("timed out", "too many", "exceeded maximum", "limit")
"""In the words of a Prometheus, or of another that speaks its language, that will not do so much at once."""
_LESS = "it may be short of memory or time, or be told to allow no more: a shorter period or --match asks for less"


@dataclass(frozen=True, slots=True)
class Found:
    """A series, and its values at instants."""

    labels: Mapping[str, str]
    values: Sequence[tuple[float, float]]

    @property
    def value(self) -> float:
        """The latest."""
        return self.values[-1][1]


@dataclass(slots=True)
class Api:
    """A Prometheus, or whatever speaks its language.

    Attributes:
        warnings: what it said beside its answers, such as that some of its stores did not answer.
    """

    web: Web
    warnings: list[str] = field(default_factory=list)

    def query(self, expression: str, at: float) -> list[Found]:
        """The expression at an instant.

        Raises:
            ReportError: it cannot be asked, or does not answer.
        """
        data = self._ask("query", {"query": expression, "time": repr(at)})
        return [Found(one["metric"], [_sample(one["value"])]) for one in data]

    def over(self, expression: str, begin: float, end: float, step: float) -> list[Found]:
        """The expression at every step of a period. Raises as `query` does."""
        form = {"query": expression, "start": repr(begin), "end": repr(end), "step": repr(step)}
        return [
            Found(one["metric"], [_sample(each) for each in one["values"]]) for one in self._ask("query_range", form)
        ]

    def _ask(self, endpoint: str, form: Mapping[str, str]) -> Any:
        answer = self.web.ask(f"/api/v1/{endpoint}", form)
        try:
            said = json.loads(answer.text)
            if said["status"] == "success":
                self.warnings.extend(one for one in said.get("warnings") or () if one not in self.warnings)
                return said["data"]["result"]
            problem = str(said["error"])
        except (ValueError, LookupError, TypeError):
            raise ReportError(self._foreign(answer.status)) from None
        too_much = answer.status >= _SERVER_ERROR or any(words in problem for words in _TOO_MUCH)
        hint = _LESS if too_much else "is --match right?"
        raise ReportError(f"Prometheus at {self.web.url} does not answer: {problem:.300} ({hint})")

    def _foreign(self, status: int) -> str:
        if status == _NOT_FOUND:
            return f"{self.web.url} has no /api/v1/query: give Prometheus' own address, such as http://prometheus:9090"
        return f"{self.web.url} answers {status}, and not as a Prometheus does: is this its address?"


def _sample(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def selector(names: Iterable[str], *matchers: str) -> str:
    """Series of these names that fit all of these matchers."""
    wanted = sorted(names)
    name = f'__name__="{wanted[0]}"' if len(wanted) == 1 else f'__name__=~"{"|".join(wanted)}"'
    return "{" + ",".join((name, *filter(None, matchers))) + "}"


def exactly(labels: Iterable[tuple[str, str]]) -> str:
    """Matchers for a target by its labels."""
    return ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels))


def span(seconds: float) -> str:
    """A duration in PromQL, to the millisecond."""
    return f"{max(round(seconds * 1000.0), 1)}ms"


def instant(at: float) -> str:
    """An instant for `@`, to the millisecond."""
    return f"{at:.3f}"
