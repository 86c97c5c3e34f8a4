"""Records the demo anew, with what its clients saw beside it: `python -m tests.recording [SECONDS]`.

A real small model, served by a real llama-server on this machine's CPU; what its power is said to be is an estimate.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from exporter.app import exporting
from exporter.demo import DemoOptions, demo_settings
from exporter.demo.inference import RunningInference, find_inference, running
from exporter.demo.load import ClientFact, generate
from exporter.demo.shipped import shipped
from exporter.recording.tape import Tape
from tests.recording import CLIENT_FACTS, DEMO

SECONDS = 120.0


async def record(server: RunningInference, seconds: float, path: Path) -> Sequence[ClientFact]:
    """Put load on the server while it is metered and recorded."""
    options = DemoOptions()
    with closing(Tape(path, overwrite=True)) as tape:
        async with exporting(demo_settings(server, options), tape=tape) as exporter:
            await asyncio.sleep(options.idle_seconds)
            facts = await generate(server.url, seconds)
            await exporter.finish()
    return facts


def main(seconds: float = SECONDS) -> None:
    """Write the recording, and the clients' facts."""
    with running(find_inference(None, None)) as server:
        facts = asyncio.run(record(server, seconds, DEMO))
    CLIENT_FACTS.write_text("".join(json.dumps(asdict(fact)) + "\n" for fact in facts))
    shipped()["cpu"].path.write_bytes(DEMO.read_bytes())
    print(f"{DEMO}: {DEMO.stat().st_size:,} bytes, {len(facts)} requests")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
