"""A calibration as tests know it by heart."""

from exporter.proxy.calibration.calibration import Calibration, GroundScores, Key, Machine, ProxyCalibration, Spread
from exporter.proxy.proxy import Coefficient

DATE = "2026-11-21T08:00:00+00:00"

STEP_MODEL = ProxyCalibration(
    coefficients={
        "step": Coefficient(3.16, 0.02),
        "prefill_token": Coefficient(0.02, 0.0004),
        "decode_token": Coefficient(0.0665, float("inf")),
        "context_token": Coefficient(1e-5, 2e-6),
    },
    grounds={
        "isolated": GroundScores(120, {"mape": 0.01, "r2": 0.99}),
        "window": GroundScores(40, {"mape": 0.02}),
        "request": GroundScores(900, {}),
    },
    alone=(Spread(1, 1.0, 1.0, 120, 118.5, -0.001, 0.012, 0.012, 0.0),),
    shared=(
        Spread(2, 2.1, 3.9, 700, 612.25, 0.002, 0.05, 0.05, 0.0),
        Spread(4, 4.0, 7.5, 80, 79.5, 0.01, 0.07, 0.07, 0.0),
    ),
)
TIME_SHARE = ProxyCalibration(
    coefficients={"shared_second": Coefficient(350.0, 4.0)},
    grounds={"isolated": GroundScores(120, {"mape": 0.05}), "window": GroundScores(40, {"mape": 0.09})},
    alone=(Spread(1, 1.0, 1.0, 120, 118.5, -0.02, 0.06, 0.06, 0.0),),
    shared=(
        Spread(2, 2.1, 3.9, 700, 612.25, 0.002, 0.11, 0.11, 0.0),
        Spread(4, 4.0, 7.5, 80, 79.5, 0.01, 0.15, 0.15, 0.0),
    ),
)
CALIBRATION = Calibration(
    key=Key("llama-3.1-8b", "NVIDIA H200", 2, "vLLM 0.11.1", "bfloat16", "TP2", 1400.0, "570.86.15"),
    date=DATE,
    machine=Machine("Linux-6.8-x86_64", "0.2.0"),
    method="measured",
    policy="steps",
    proxies={"step_model": STEP_MODEL, "time_share": TIME_SHARE},
    latency={"levels": [1, 2.5, None], "of": "chat"},
)
