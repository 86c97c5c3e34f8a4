"""LiteLLM's proxy, which writes uvicorn's access lines (see uvicorn)."""

from exporter.requests.parts import uvicorn

KNOWS = uvicorn.KNOWS
ADVICE = (
    "Let a callback of LiteLLM write its StandardLoggingPayload, one JSON object a line, and read that with source "
    "jsonl and profile litellm: it has times, model and tokens; or give LiteLLM's otel callback a server of source "
    f"otlp. Else: {uvicorn.ADVICE}. json_logs: true only adds a time to what is counted."
)

build = uvicorn.build_for("litellm")
