"""Dissections made by hand: a model whose components draw what they are told to."""

from dataclasses import replace

from exporter.domain.dissection import Case, ComponentEnergy, ComponentName, Dissection, Trials, Whole, capture
from exporter.domain.readings import Device

GPU = Device("gpu0", "gpu", "GPU-1", "NVIDIA H100 80GB HBM3", has_counter=True, driver="570.86.15")
CPU = Device("cpu0", "cpu", model="Example CPU", method="estimated")

_WATTS, _IDLE = 400.0, 100.0


def component(
    name: ComponentName,
    joules: float,
    *,
    flops: int | None = 1_000_000,
    part_of: Whole | None = "block",
    instances: int = 1,
    path: str | None = None,
    spread: float = 0.02,
) -> ComponentEnergy:
    """Three trials around `joules` gross, of which a quarter is idle power."""
    gross = tuple(joules * (1.0 + spread * step) for step in (-1.0, 0.0, 1.0))
    return ComponentEnergy(
        component=name,
        path=name if path is None else path,
        part_of=part_of,
        instances=instances,
        gross_joules=Trials(gross),
        net_joules=Trials(tuple(value * (1.0 - _IDLE / _WATTS) for value in gross)),
        seconds=Trials(tuple(value / _WATTS for value in gross)),
        repetitions=(5_000, 5_010, 4_990),
        flops=flops,
    )


def dissection(
    model: str = "example-decoder",
    case: Case | None = None,
    *,
    device: Device = GPU,
    attention: float = 3.0,
    block: float = 8.0,
    flops: int = 2_000_000,
    spread: float = 0.02,
    began: float = 1_763_726_400.0,
    shape: dict[str, int] | None = None,
) -> Dissection:
    """A decoder of four blocks. Its attention takes `attention` joules, its MLP 4, its norms 0.25 each."""
    whole = component("block", block, flops=flops * 4, part_of="model", instances=4, path="layers.0", spread=spread)
    parts = (
        component("attention", attention, flops=flops, path="layers.0.self_attn", spread=spread),
        component("mlp", 4.0, flops=flops * 3, path="layers.0.mlp", spread=spread),
        component("norm", 0.25, flops=None, instances=2, path="layers.0.input_layernorm", spread=spread),
    )
    ends = (
        component("embedding", 0.1, flops=0, part_of="model", path="embed_tokens", spread=spread),
        component("lm_head", 2.0, flops=flops, part_of="model", path="lm_head", spread=spread),
    )
    model_joules = 4.2 * block + 2.1
    everything = component("model", model_joules, flops=flops * 17, part_of=None, path="", spread=spread)
    return Dissection(
        model=model,
        architecture="decoder",
        weights="random",
        parameters=124_000_000,
        shape=shape or {"hidden_size": 768, "heads": 12, "layers": 4},
        case=case or Case(),
        device=device,
        period_seconds=0.1,
        idle_watts=Trials((99.0, 100.0, 101.0)),
        components=(everything, whole, *parts, *ends),
        captures=(capture(everything, (whole, *ends)), capture(whole, parts)),
        began=began,
        seconds=61.5,
        software={"torch": "2.9.0", "transformers": "4.57.1"},
        machine="Example processor, 8 cores",
    )


def sweep(lengths: tuple[int, ...] = (64, 128, 256, 512), *, at_rest: float = 1.0) -> list[Dissection]:
    """One model at several lengths: attention takes `at_rest` joules and a millionth a FLOP."""
    return [
        dissection(case=replace(Case(), sequence=length), attention=at_rest + length * 0.02, flops=length * 20_000)
        for length in lengths
    ]
