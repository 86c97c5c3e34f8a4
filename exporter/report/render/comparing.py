"""Two accounts side by side."""

from collections.abc import Iterator, Sequence

from exporter.report.render.document import Column, Section, Table
from exporter.report.render.quantities import NOTHING, digits, energy, ratio, span
from exporter.report.summary import Comparison, Difference
from exporter.server.quantities import seconds

_LONG_SECONDS = 120.0


def compared(comparison: Comparison) -> Iterator[Section]:
    """All of it first, then model by model."""
    whose = f"First: {comparison.first}. Second: {comparison.second}."
    yield Section("Compared", (whose, *comparison.cautions, _table(comparison.overall)))
    for model, differences in comparison.models.items():
        yield Section(f"Compared: {model}", (_table(differences),))


_COLUMNS = (Column("", words=True), Column("first"), Column("second"), Column("second to first"))


def _table(differences: Sequence[Difference]) -> Table:
    return Table(_COLUMNS, [_row(one) for one in differences])


def _row(one: Difference) -> tuple[str, str, str, str]:
    return one.name, _value(one.first, one.unit), _value(one.second, one.unit), _ratio(one.ratio)


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else ratio(value)


def _value(value: float | None, unit: str) -> str:
    match value, unit:
        case None, _:
            return NOTHING
        case _, "J":
            return energy(value)
        case _, "s":
            return span(value) if value >= _LONG_SECONDS else seconds(value)
        case _, "":
            return digits(value)
        case _:
            return f"{digits(value)} {unit}"
