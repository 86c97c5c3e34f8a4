"""A plant in real time whose page is served over HTTP, for a `tune` that is a process of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from exporter.domain.readings import Method
from tests.fakes.nvml import Counter, FakeGpu, FakeNvml, RealTime
from tests.fakes.serving import Model, Profile
from tests.tune.metered import Plant

_FASTER = 50.0
_PAUSE_SECONDS = 0.04


def hurried(profile: Profile) -> Profile:
    """The same, fifty times as fast at the same power: a short trial meets many requests."""
    slow = profile.model
    model = Model(slow.prompt_token / _FASTER, slow.step / _FASTER, slow.step_request / _FASTER, slow.clock_share)
    return replace(profile, model=model)


@contextmanager
def plant_serving(
    library: Path, folder: Path, profile: Profile, method: Method = "measured"
) -> Iterator[tuple[str, FakeNvml, Plant]]:
    """Yields the URL of the exporter, the boards and the plant, all of them alive."""
    gpu = FakeGpu(counter=Counter(period=0.01))
    fake = FakeNvml(library, folder, [gpu], time=RealTime(epoch=time.time()))
    fake.attach()
    plant = Plant(fake, hurried(profile), method=method, settle_seconds=0.1)
    stop = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(plant))
    threads = [
        threading.Thread(target=plant.serving.run, args=(fake.now, stop)),
        threading.Thread(target=_meter, args=(plant, fake, stop)),
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}),
    ]
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fake, plant
    finally:
        stop.set()
        server.shutdown()
        for thread in threads:
            thread.join()
        server.server_close()


def _meter(plant: Plant, fake: FakeNvml, stop: threading.Event) -> None:
    while not stop.wait(_PAUSE_SECONDS):
        plant.catch_up(fake.now(), virtual=False)


def _handler(plant: Plant) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = plant.text().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler
