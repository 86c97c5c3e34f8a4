"""Published figures, to stand beside one's own."""

import math

from exporter.report.footprint import JOULES_PER_WH
from exporter.report.summary import Reference

_ML_ENERGY = "ML.ENERGY Benchmark v3 (ml-energy/benchmark-v3), vLLM 0.11.1: GPUs only, steady load at this batch size"
_MEASURED: tuple[tuple[str, str, dict[int, float]], ...] = (
    ("Llama-3.1-8B", "1 x NVIDIA H100", {8: 0.455, 64: 0.119, 256: 0.077}),
    ("Llama-3.1-70B", "4 x NVIDIA H100", {8: 3.76, 64: 0.80, 256: 0.48}),
    ("gpt-oss-20b", "1 x NVIDIA H100", {8: 0.356, 64: 0.10, 256: 0.059}),
)


def measured() -> tuple[Reference, ...]:
    """What others metered."""
    return tuple(
        Reference(model, hardware, "vllm", batch, joules, _ML_ENERGY)
        for model, hardware, by_batch in _MEASURED
        for batch, joules in by_batch.items()
    )


# EcoLogits' published regression; its parameters in billions, its result in Wh for a token on one GPU.
_ECOLOGITS = "EcoLogits, methodology of LLM inference (Rincé and Banse, JOSS 10(111) 7471, 2025; coefficients of 0.11)"
_ALPHA, _BETA, _GAMMA = 1.17e-6, -0.0112, 4.05e-5
_BATCH = 64
_BYTES_PER_PARAMETER = 2.0
_MEMORY_OVERHEAD = 1.2
_GPU_BYTES = 80e9


def ecologits(active_parameters: float, parameters: float | None = None) -> Reference:
    """What a widely used formula says of a model of this size: GPUs only, prompt tokens free, at a batch of 64.

    Args:
        active_parameters: that a token passes through.
        parameters: of the whole model, which say how many GPUs hold it; None: as many as are active.
    """
    gpus = _gpus(active_parameters if parameters is None else parameters)
    watt_hours = gpus * (_ALPHA * math.exp(_BETA * _BATCH) * active_parameters / 1e9 + _GAMMA)
    return Reference(
        model=f"any of {_billions(active_parameters)} active parameters",
        hardware=f"{gpus} x NVIDIA H100",
        engine="vllm",
        batch=_BATCH,
        joules_per_output_token=watt_hours * JOULES_PER_WH,
        source=f"no measurement but a formula: {_ECOLOGITS}; +37 to +45 % against ML.ENERGY's figures",
        modelled=True,
    )


def _gpus(parameters: float) -> int:
    """Enough to hold it in 16 bits, a power of two."""
    least = math.ceil(_MEMORY_OVERHEAD * _BYTES_PER_PARAMETER * parameters / _GPU_BYTES)
    return 1 << max(least - 1, 0).bit_length()


def _billions(parameters: float) -> str:
    return f"{parameters / 1e9:.4g} billion"
