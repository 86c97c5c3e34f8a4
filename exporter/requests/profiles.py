"""Built-in options of the `jsonl` reader for the fronts that log one JSON object a request.

Written like a user's own options and checked like them. `a|b` takes the first key that a line has. What each front has
to be told to log is in `SETUP`.
"""

from collections.abc import Mapping
from typing import Any

from exporter.requests.access import INFERENCE_ENDPOINTS

_INFERENCE = {"suffix": list(INFERENCE_ENDPOINTS)}

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "nginx": {
        "fields": {
            "id": "request_id",
            "end": {"path": "msec", "unit": "s", "precision": 0.001},
            "duration": {"path": "request_time", "unit": "s", "precision": 0.001},
            "status": "status",
        },
        "where": {"request_uri|uri": _INFERENCE},
        "unless": {"upstream_addr": ["", "-"]},  # answered by nginx itself
        # A stream whose client left is logged with the status of its headers, 200.
        "aborted": {"request_completion": ""},
    },
    "haproxy": {
        "fields": {
            "id": "id",
            "start": {"path": "tr", "format": "%d/%b/%Y:%H:%M:%S.%f"},
            "duration": {"path": "Ta", "unit": "ms"},
            "queued": {"path": "Tw", "unit": "ms"},
            "status": "status",
        },
        "where": {"path": _INFERENCE},
        "unless": {"Ta": -1, "Tc": -1},  # -1: the request or its connection to a server never came to be
        "aborted": {"term": {"prefix": "C"}},
    },
    "traefik": {
        "fields": {
            # The id of the client's choosing, where headers are kept; two requests may share it.
            "id": "request_X-Request-Id",
            "start": "StartUTC",
            "duration": {"path": "Duration", "unit": "ns"},
            "status": "DownstreamStatus",
        },
        "where": {"RequestPath": _INFERENCE},
        # A stream whose client left has the status of its headers, 200, and none from its origin.
        "aborted": {"OriginStatus": 0},
    },
    "envoy": {
        "fields": {
            "id": "x_request_id|x-request-id|request_id",
            "start": "start_time_us|start_time",
            "duration": {"path": "duration", "unit": "ms"},
            "status": "response_code",
            "model": "genai_model_name",
            "prompt_tokens": "genai_tokens_input",
            "cached_tokens": "genai_tokens_cached_input",
            "output_tokens": "genai_tokens_output",
        },
        "where": {"path|x-envoy-origin-path": _INFERENCE},
        "unless": {"upstream_host": ["", "-", None]},  # answered by Envoy itself
        "aborted": {"response_flags": {"word": "DC"}, "response_code_details": {"prefix": "downstream_remote_disco"}},
    },
}

SETUP: Mapping[str, str] = {
    "nginx": (
        'log_format energy escape=json \'{"msec":$msec,"request_time":$request_time,"request_id":"$request_id",'
        '"request_uri":"$request_uri","status":$status,"request_completion":"$request_completion",'
        '"upstream_addr":"$upstream_addr"}\'; access_log /logs/energy.log energy;'
    ),
    "haproxy": (
        'log-format \'{"tr":"%tr","id":"%ID","TR":%TR,"Tw":%Tw,"Tc":%Tc,"Tr":%Tr,"Ta":%Ta,"status":%ST,"term":"%tsc",'
        '"path":"%HPO"}\' (without option logasap)'
    ),
    "traefik": "--accesslog=true --accesslog.format=json --accesslog.filepath=/logs/access.log",
    "envoy": (
        "a file access log with json_format keys start_time_us (%START_TIME(%s.%6f)%), duration (%DURATION%), "
        "response_code, response_flags, response_code_details, path (%REQ(:PATH)%), x_request_id, upstream_host"
    ),
}
