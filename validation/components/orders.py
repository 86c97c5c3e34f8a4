"""Which models are taken apart, in which order, and how long each part of them is measured.

All four architectures come first, and of a model like those that are served both phases, launched kernel by kernel and
by CUDA graphs: how much of a small kernel's energy is waiting for the next one shows between the two. Then the rest of
the fifteen, while there is time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from exporter.components.models import CATALOGUE, Launch
from exporter.components.plan import Plan
from exporter.components.sweep import Order
from exporter.domain.dissection import Case, ForwardPhase

SEQUENCE = 512
TRIALS = 3
LEAST_SECONDS, MOST_SECONDS = 0.3, 2.0
"""Counter time of a part in a trial: three steps of a common counter, and more than that where there is time."""
WANTED = 6
"""So many cases are to fit: the first of the list, with every architecture and both ways of launching."""
_PARTS = 9
"""About so many has a model, its own run included."""
_LEAD_SECONDS, _REST_SECONDS = 0.1, 0.05
_STEP_SECONDS = 0.35
"""Two steps of a common counter before a stretch, and waiting for one at both of its ends."""
_BUILD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Launched:
    """A case, and how its kernels are launched."""

    order: Order
    launch: Launch = "eager"

    def words(self) -> str:
        """As the `components` command calls it."""
        return f"{self.order.words()}, {self.launch}"


_FIRST: tuple[tuple[str, ForwardPhase, Launch], ...] = (
    ("llama-3.1-8b", "prefill", "eager"),
    ("bert-base", "prefill", "eager"),
    ("olmoe-1b-7b", "prefill", "eager"),
    ("t5-base", "prefill", "eager"),
    ("llama-3.1-8b", "decode", "eager"),
    ("llama-3.1-8b", "decode", "graph"),
    ("olmoe-1b-7b", "decode", "eager"),
    ("t5-base", "decode", "eager"),
    ("bert-base", "prefill", "graph"),
)
_LITTLE: tuple[str, ForwardPhase, Launch] = ("gpt2-small", "decode", "eager")


def orders(*, fake: bool) -> list[Launched]:
    """All of them, the most wanted first; for show only a little one."""
    if fake:
        return [_launched(*_LITTLE, sequence=32, dtype="float32")]
    return [_launched(*each, sequence=SEQUENCE, dtype="bfloat16") for each in (*_FIRST, *_rest())]


def _rest() -> Iterator[tuple[str, ForwardPhase, Launch]]:
    for name, entry in CATALOGUE.items():
        phases: tuple[ForwardPhase, ...] = ("prefill",) if entry.architecture == "encoder" else ("prefill", "decode")
        yield from ((name, phase, "eager") for phase in phases if (name, phase, "eager") not in _FIRST)


def _launched(name: str, phase: ForwardPhase, launch: Launch, *, sequence: int, dtype: str) -> Launched:
    return Launched(Order(name, Case(phase=phase, sequence=sequence, dtype=dtype)), launch)


FAKE_PLAN = Plan(2, counter_seconds=0.1, lead_seconds=0.0, rest_seconds=0.0, idle_seconds=0.1, patience_seconds=5.0)
"""For show, on a fake board."""


def plan_for(seconds: float, cases: int) -> Plan:
    """So that as many cases of those wanted fit into so many seconds as can, and longer where fewer would fill them."""
    each = seconds / max(min(cases, WANTED), 1) - _BUILD_SECONDS
    counter = each / TRIALS / (_PARTS + 1) - _REST_SECONDS - _STEP_SECONDS
    counter = min(max(counter, LEAST_SECONDS), MOST_SECONDS)
    return Plan(
        trials=TRIALS,
        counter_seconds=counter,
        lead_seconds=_LEAD_SECONDS,
        rest_seconds=_REST_SECONDS,
        idle_seconds=max(counter, 0.5),
        patience_seconds=5.0,
    )


def case_seconds(plan: Plan) -> float:
    """About how long one case takes by a plan."""
    part = plan.counter_seconds + plan.rest_seconds + _STEP_SECONDS
    return _BUILD_SECONDS + plan.trials * (_PARTS * part + plan.idle_seconds + _STEP_SECONDS)
