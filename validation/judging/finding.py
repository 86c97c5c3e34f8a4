"""What is found, gathered: figures, checks and rows, all under the name of their run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from validation.results import Check, Figure


@dataclass(slots=True)
class Findings:
    """Of one run. `run`: its name; it begins the names of figures, checks and tables."""

    run: str
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    tables: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def figure(  # noqa: PLR0913 - what a figure is made of
        self,
        name: str,
        value: float | None,
        unit: str,
        *,
        interval: tuple[float, float] | None = None,
        samples: int = 0,
        note: str = "",
    ) -> None:
        """A number."""
        low, high = interval or (None, None)
        self.figures.append(Figure(f"{self.run}: {name}", value, unit, low, high, samples, note))

    def spread(self, name: str, values: Sequence[float], unit: str, note: str) -> None:
        """The median of several values, with 5th and 95th percentile."""
        if not values:
            self.figure(name, None, unit, note=f"{note}; nothing was known")
            return
        low, middle, high = (float(each) for each in np.percentile(values, (5.0, 50.0, 95.0)))
        self.figure(
            name,
            middle,
            unit,
            interval=(low, high),
            samples=len(values),
            note=f"{note}; median, 5th to 95th percentile",
        )

    def check(self, name: str, expected: str, found: str, held: bool | None) -> None:  # noqa: FBT001 - of three values
        """Something expected."""
        self.checks.append(Check(f"{self.run}: {name}", expected, found, None if held is None else bool(held)))

    def row(self, table: str, row: Mapping[str, Any]) -> None:
        """One more row of a table."""
        self.tables.setdefault(f"{self.run}: {table}", []).append(row)
