"""The real exporter as a process of its own, as its users run it: it reads NVML and the server's log, and records.

Everything is its default but where a run of minutes wants it shorter: windows of proxies last seconds, and energy waits
seconds for late news, not a quarter of an hour.
"""

import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import exporter
from validation.programs import Program, answers, free_port
from validation.serving import board
from validation.serving.run import Books, DeviceBooks, Served
from validation.stage import Room

READY_SECONDS = 20.0
STOP_SECONDS = 15.0
SETTLE_SECONDS = 2.0
"""After its end a request waits so long for late news."""
HORIZON = "20s"
SCORING_WINDOW = "5s"
MAX_SIZE = "3MB"
"""A recording ends there, whatever happens."""


class Metering:
    """An exporter that meters one server and records it.

    Args:
        served: the server. recording: the file. folder: for its configuration and its log.

    Raises:
        ProgramError: it cannot be started.
    """

    def __init__(self, served: Served, name: str, recording: Path, folder: Path) -> None:
        self.recording, self.url = recording, f"http://127.0.0.1:{free_port()}"
        config = folder / "exporter.yaml"
        config.write_text(yaml.safe_dump(configuration(served, name)))
        self._program = Program(
            [
                *(sys.executable, "-m", "exporter", "record", "--config", str(config)),
                *("--listen", self.url.removeprefix("http://")),
                *("--output", str(recording), "--max-size", MAX_SIZE, "--force"),
            ],
            folder / "exporter.log",
            folder=Path(exporter.__file__).parents[1],
        )

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._program.pid

    def await_ready(self, room: Room) -> None:
        """Wait until it meters.

        Raises:
            ProgramError: it does not.
        """
        self._program.await_ready(lambda: answers(f"{self.url}/-/ready"), room, READY_SECONDS)

    def alive(self) -> bool:
        """Whether it runs."""
        return self._program.alive()

    def books(self, at: float) -> Books | None:
        """What it says now; None where it does not answer. `at`: now."""
        page = _page(f"{self.url}/metrics")
        if page is None:
            return None
        return books([sample for family in text_string_to_metric_families(page) for sample in family.samples], at)

    def stop(self) -> str:
        """Let it complete its recording; what went wrong, in words, or empty."""
        if not self.alive():
            return f"the exporter died: {self._program.how_it_ended()}"
        if not self._program.stop(STOP_SECONDS):
            return f"the exporter did not end in time{self._program.end_of_log()}"
        return ""


def configuration(served: Served, name: str) -> Mapping[str, object]:
    """Of an exporter that meters this server."""
    server = {
        "name": "validation",
        "model": name,
        "requests": {"source": served.source, "path": str(served.log), "start": "end", **served.options},
    }
    if served.metrics_url is not None:
        server["metrics_url"] = served.metrics_url
    uuid = board.uuid()
    return {
        "power": {"source": "nvml", "interval": "50ms", "gpus": "all" if uuid is None else [uuid]},
        "servers": [server],
        "attribution": {"settle": f"{SETTLE_SECONDS:g}s", "horizon": HORIZON},
        "scoring": {"window": SCORING_WINDOW},
    }


def books(samples: Sequence[Sample], at: float) -> Books:
    """Out of a metrics page."""
    devices = sorted({one.labels["device"] for one in samples if one.name == "llm_device_energy_joules_total"})
    outcomes = sorted({one.labels["outcome"] for one in samples if one.name == "llm_requests_total"})
    policies = [one.labels["policy"] for one in samples if one.name == "llm_attribution_policy_info"]
    return Books(
        at=at,
        devices=tuple(_device(samples, device) for device in devices),
        requests={outcome: round(_sum(samples, "llm_requests_total", outcome=outcome)) for outcome in outcomes},
        policy=policies[0] if policies else "",
        faults=round(_sum(samples, "llm_energy_exporter_faults_total")),
    )


def _device(samples: Sequence[Sample], device: str) -> DeviceBooks:
    def share(name: str) -> float:
        return _sum(samples, "llm_energy_joules_total", device=device, share=name)

    return DeviceBooks(
        device,
        _sum(samples, "llm_device_energy_joules_total", device=device),
        share("requests"),
        share("idle"),
        share("unattributed"),
        _sum(samples, "llm_energy_unsettled_joules", device=device),
    )


def _sum(samples: Sequence[Sample], name: str, **labels: str) -> float:
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def _page(url: str) -> str | None:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == HTTPStatus.OK else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
