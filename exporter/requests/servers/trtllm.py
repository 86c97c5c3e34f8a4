"""TensorRT-LLM's trtllm-serve, which writes uvicorn's access lines (see uvicorn)."""

from exporter.requests.parts import uvicorn

KNOWS = uvicorn.KNOWS
ADVICE = (
    f"{uvicorn.ADVICE}; or run trtllm-serve with return_perf_metrics: true among its options, --otlp_traces_endpoint "
    "leading to a server of source otlp, and OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf. The first alone has "
    "it answer /perf_metrics with each request's times, which is no log."
)

build = uvicorn.build_for("trtllm")
