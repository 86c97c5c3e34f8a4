"""`transformers serve`, which writes uvicorn's access lines (see uvicorn)."""

from exporter.requests.parts import uvicorn

KNOWS = uvicorn.KNOWS
ADVICE = f"{uvicorn.ADVICE}. transformers serve has no flag that would log more."

build = uvicorn.build_for("transformers")
