"""What component-level energy by repetition (CLEAR, arXiv 2510.02810) found out about one model under one case."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from exporter.domain.readings import Device

ForwardPhase = Literal["prefill", "decode"]
"""A whole prompt at once, or one token after a prompt whose keys and values are cached."""

ComponentName = Literal[
    "model", "block", "embedding", "attention", "cross_attention", "mlp", "experts", "router", "norm", "lm_head"
]
Whole = Literal["model", "block"]
"""What a component's energy is held against: a block's parts against the block, the model's parts against the model."""


@dataclass(frozen=True, slots=True)
class Case:
    """Under which a model is dissected.

    Attributes:
        phase: prefill or decode.
        batch: sequences side by side.
        sequence: tokens of each: of the prompt, or in the cache before the decoded one.
        dtype: of weights and activations, as PyTorch calls it (`float32`, `bfloat16`).
        attention: implementation of attention, as Transformers calls it (`sdpa`, `eager`).
    """

    phase: ForwardPhase = "prefill"
    batch: int = 1
    sequence: int = 128
    dtype: str = "float32"
    attention: str = "sdpa"


@dataclass(frozen=True, slots=True)
class Trials:
    """The same quantity, measured in several trials.

    Attributes:
        values: one a trial, in order; at least one.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return sum(self.values) / len(self.values)

    @property
    def stddev(self) -> float:
        """Of the sample, with n - 1; 0 for a single trial."""
        if len(self.values) < 2:
            return 0.0
        mean = self.mean
        return sqrt(sum((value - mean) ** 2 for value in self.values) / (len(self.values) - 1))

    @property
    def cv(self) -> float | None:
        """Coefficient of variation: standard deviation over mean. None where the mean is not above 0."""
        return self.stddev / self.mean if self.mean > 0.0 else None


@dataclass(frozen=True, slots=True)
class ComponentEnergy:
    """One component, replayed alone.

    Attributes:
        component: what it is.
        path: of the module that was replayed, as `named_modules` calls it; empty for the model.
        part_of: the whole that its energy adds to; None for the model.
        instances: how many of it the whole runs in one pass; norms of a block, blocks of a model.
        gross_joules: energy of one run, all that the device drew.
        net_joules: the same less idle power times duration; not clipped at 0.
        seconds: duration of one run.
        repetitions: runs in each trial, in order.
        flops: of one run, as PyTorch counts them; None where it counts none.
    """

    component: ComponentName
    path: str
    part_of: Whole | None
    instances: int
    gross_joules: Trials
    net_joules: Trials
    seconds: Trials
    repetitions: tuple[int, ...]
    flops: int | None

    @property
    def gross_joules_per_flop(self) -> float | None:
        """Energy of one run over its FLOPs; None where these are not known."""
        return self.gross_joules.mean / self.flops if self.flops else None

    @property
    def net_joules_per_flop(self) -> float | None:
        """The same without idle power."""
        return self.net_joules.mean / self.flops if self.flops else None


@dataclass(frozen=True, slots=True)
class Capture:
    """How much of a whole its parts account for.

    Attributes:
        whole: the denominator: energy of the whole, replayed by itself.
        parts: components that were added up, each times its instances.
        gross_ratio: sum of the parts over the whole. net_ratio: the same without idle power; None where the whole's
            net energy is not above 0.
        path: of the whole's module, since an encoder's block and a decoder's are not the same; empty for the model.
    """

    whole: Whole
    parts: tuple[ComponentName, ...]
    gross_ratio: float
    net_ratio: float | None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Dissection:
    """A model under a case on a machine.

    Attributes:
        model: its name in the catalogue, or as given.
        architecture: `encoder`, `decoder`, `encoder_decoder` or `mixture_of_experts`.
        weights: `random`, or the path they were read from.
        parameters: how many.
        shape: what was swept or is worth knowing of its configuration: `hidden_size`, `heads`, `layers`, ...
        case: as above.
        device: what drew the energy; its method says whether it was measured.
        period_seconds: measured update period of the sensor; None where not known.
        idle_watts: with the context open and nothing running, one a trial.
        components: the model first.
        captures: by whole.
        began: Unix seconds. seconds: how long it took.
        software: versions, by name. machine: what the processor is.
        launch: how kernels were launched: `eager` or `graph`.
    """

    model: str
    architecture: str
    weights: str
    parameters: int
    shape: dict[str, int]
    case: Case
    device: Device
    period_seconds: float | None
    idle_watts: Trials
    components: Sequence[ComponentEnergy]
    captures: Sequence[Capture]
    began: float
    seconds: float
    software: dict[str, str]
    machine: str
    launch: str = "eager"

    def component(self, name: ComponentName) -> ComponentEnergy | None:
        """The first component of this name."""
        return next((one for one in self.components if one.component == name), None)


def capture(whole: ComponentEnergy, parts: Sequence[ComponentEnergy]) -> Capture:
    """Hold parts against their whole, each times its instances."""
    assert whole.component in {"model", "block"}, "only these have parts"
    gross = sum(part.gross_joules.mean * part.instances for part in parts)
    net = sum(part.net_joules.mean * part.instances for part in parts)
    own = whole.net_joules.mean
    return Capture(
        whole="model" if whole.component == "model" else "block",
        parts=tuple(part.component for part in parts),
        gross_ratio=gross / whole.gross_joules.mean,
        net_ratio=net / own if own > 0.0 else None,
        path=whole.path,
    )
