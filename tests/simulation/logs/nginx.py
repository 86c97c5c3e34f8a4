"""nginx 1.22 before the server, with a JSON `log_format`: written at the end, in milliseconds, queueing included.

A client that hangs up during a stream is logged with status 200 and an empty `request_completion`; one that hangs up
before any answer, with 499.
"""

import json
import math
from datetime import UTC, datetime

import numpy as np

from exporter.domain.units import later
from exporter.simulate.batching import Run, Served
from tests.simulation.logs import LogLine, in_order


def nginx_log(run: Run, rng: np.random.Generator) -> list[LogLine]:
    """The access log. Its lines reach the file at once: `access_log` without a buffer."""
    return in_order(_line(served, rng, connection) for connection, served in enumerate(run.served, start=1))


def _line(served: Served, rng: np.random.Generator, connection: int) -> LogLine:
    # nginx sees the request just after the client sent it and its end just after the server: its clock ticks in ms.
    arrival = _tick(served.arrival + rng.uniform(0.0, 0.004))
    end = max(arrival, _tick(served.end + rng.uniform(0.0, 0.001)))
    header = 0.002 if served.request.stream else end - arrival
    fields = _fields(served, rng, connection, (arrival, header, end))
    return LogLine(later(served.end, 0.0015), json.dumps(fields, separators=(",", ":")))


def _tick(seconds: float) -> float:
    return math.floor(seconds * 1000.0) / 1000.0


def _fields(
    served: Served, rng: np.random.Generator, connection: int, times: tuple[float, float, float]
) -> dict[str, object]:
    arrival, header, end = times
    moment = datetime.fromtimestamp(end, UTC)
    left = served.outcome == "aborted"
    left_early = left and not served.request.stream
    return {
        "time_local": moment.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "time_iso8601": moment.isoformat(timespec="seconds"),
        "msec": round(end, 3),
        "remote_addr": "127.0.0.1",
        "remote_port": str(rng.integers(32768, 60999)),
        "request_method": "POST",
        "request_uri": "/v1/chat/completions",
        "server_protocol": "HTTP/1.1",
        "status": 499 if left_early else 200,
        "body_bytes_sent": 0 if left_early else 270 * served.output_tokens,
        "request_length": 250 + 5 * served.prompt_tokens,
        "request_time": round(end - arrival, 3),
        "upstream_addr": "127.0.0.1:8000",
        "upstream_status": "-" if left_early else "200",
        "upstream_connect_time": "0.000",
        "upstream_header_time": "-" if left_early else f"{header:.3f}",
        "upstream_response_time": f"{end - arrival:.3f}",
        "request_id": rng.bytes(16).hex(),
        "http_x_request_id": served.id,
        "request_completion": "" if left else "OK",
        "connection": connection,
        "connection_requests": 1,
        "http_user_agent": "",
    }
