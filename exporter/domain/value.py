"""Values that are made by the thousand."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(kind: type[T]) -> type[T]:
    """A frozen dataclass with slots, of which the type checker alone keeps the promise that nothing is assigned to it.

    One that keeps it at run time is made in four times the time, since it sets each field by a call. A request becomes
    several on its way from a line to a histogram: that was an eighth of all the work at full load.
    """
    return dataclass(slots=True, unsafe_hash=True)(kind)
