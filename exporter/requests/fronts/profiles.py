"""Built-in options of the `jsonl` reader for what logs one JSON object a request: fronts, gateways, one server.

Written like a user's own options and checked like them. `a|b` takes the first key that a line has. What each has to be
told to log is in `SETUP`. `READ_BY` names logs that are JSON but not one object a request.
"""

from collections.abc import Mapping
from typing import Any

from exporter.requests.parts.access import INFERENCE_ENDPOINTS

_INFERENCE = {"suffix": list(INFERENCE_ENDPOINTS)}
_NO_WORK = ["OPTIONS", "HEAD", "GET"]  # a browser asks OPTIONS before it posts

_ENVOY: Mapping[str, Any] = {
    "fields": {
        "id": "x_request_id|x-request-id|request_id",
        "start": "start_time_us|start_time",
        "duration": {"path": "duration", "unit": "ms"},
        "status": "response_code",
        "trace_id": "trace_id|traceparent",
        # Only Envoy AI Gateway has these, under keys that its operator chose: the documented and the standard ones.
        "model": "genai_model_name|x-ai-eg-model|gen_ai.request.model",
        "prompt_tokens": "genai_tokens_input|llm_input_token|gen_ai.usage.input_tokens",
        "cached_tokens": "genai_tokens_cached_input|llm_cached_input_token|gen_ai.usage.cache_read.input_tokens",
        "output_tokens": "genai_tokens_output|llm_output_token|gen_ai.usage.output_tokens",
    },
    "where": {"path|x-envoy-origin-path": _INFERENCE},
    "unless": {"upstream_host": ["", "-", None], "method": _NO_WORK},  # no host: answered by Envoy itself
    "aborted": {
        "response_flags": {"word": ["DC", "DR"]},
        "response_code_details": {"prefix": "downstream_remote_disco"},
        "response_code": [0, "0"],
    },
    # A stream that broke after its headers has their status, 200.
    "failed": {"response_flags": {"word": ["UC", "UR", "UT", "UPE", "UMSDR", "LR", "SI", "DT", "OM", "DPE"]}},
}

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "nginx": {
        "fields": {
            "id": "request_id",
            "end": {"path": "msec", "unit": "s", "precision": 0.001},
            "duration": {"path": "request_time", "unit": "s", "precision": 0.001},
            "status": "status",
        },
        "where": {"request_uri|uri": _INFERENCE},
        "unless": {"upstream_addr": ["", "-"], "request_method": _NO_WORK},  # no address: answered by nginx itself
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
        # -1: the request or its connection to a server never came to be.
        "unless": {"Ta": -1, "Tc": -1, "srv": "<NOSRV>", "method": _NO_WORK},
        "aborted": {"term": {"prefix": ["C", "c"]}},
        "failed": {"term": {"prefix": ["S", "s", "P", "R", "I", "D", "K", "U"]}},
    },
    "traefik": {
        "fields": {
            # The id of the client's choosing, where headers are kept; two requests may share it.
            "id": "request_X-Request-Id",
            "start": "StartUTC",
            "duration": {"path": "Duration", "unit": "ns"},
            "status": "DownstreamStatus",
            "trace_id": "TraceId",
        },
        "where": {"RequestPath": _INFERENCE},
        "unless": {"RequestMethod": _NO_WORK},
        # A stream whose client left has the status of its headers, 200, and none from its origin.
        "aborted": {"OriginStatus": 0},
    },
    "envoy": _ENVOY,
    "istio": {**_ENVOY, "once": True},  # the sidecars of client and server log the same request
    "envoy-ai-gateway": _ENVOY,
    "litellm": {
        "fields": {
            "id": "id",
            "start": {"path": "startTime", "unit": "s", "precision": 1e-6},
            "end": {"path": "endTime", "unit": "s", "precision": 1e-6},
            "first_token": {"path": "completionStartTime", "unit": "s", "precision": 1e-6},
            "model": "model",
            "prompt_tokens": "prompt_tokens",
            "cached_tokens": "metadata.usage_object.prompt_tokens_details.cached_tokens",
            "output_tokens": "completion_tokens",
            "outcome": {"path": "status", "ok": "success", "error": "failure"},
            "tenant": "metadata.user_api_key_team_id",
        },
        "unless": {"cache_hit": True},
        # A stream whose client left is called a success.
        "aborted": {"error_str": {"prefix": "Client disconnected"}},
    },
    "sglang-export": {
        "fields": {
            "id": "id",
            "end": {"path": "request_finished_ts", "unit": "s", "precision": 1e-6},
            "duration": {"path": "e2e_latency", "unit": "s", "precision": 1e-6},
            "queued": {"path": "queue_time", "unit": "s"},
            "ttft": {"path": "first_token_latency", "unit": "s"},
            "prompt_tokens": "prompt_tokens",
            "cached_tokens": "cached_tokens",
            "output_tokens": "completion_tokens",
            "outcome": {"path": "finish_reason.type", "aborted": "abort"},
        },
    },
}

READ_BY: Mapping[str, tuple[str, str]] = {
    "vllm-json": ("vllm", "a request's start and end are lines of their own"),
    "llama-jsonl": ("llamacpp", "a request's start, timings and end are lines of their own"),
    "sglang-json": ("sglang", "a request's start and end are lines of their own"),
    "ray-json": ("ray", "a client that left is told in a line of its own"),
}
"""By the name that one would look for: the source that reads it, and why it is not one object a request."""

SETUP: Mapping[str, str] = {
    "nginx": (
        'log_format energy escape=json \'{"msec":$msec,"request_time":$request_time,"request_id":"$request_id",'
        '"request_method":"$request_method","request_uri":"$request_uri","status":$status,'
        '"request_completion":"$request_completion","upstream_addr":"$upstream_addr"}\'; '
        "access_log /logs/energy.log energy;"
    ),
    "haproxy": (
        'log-format \'{"tr":"%tr","id":"%ID","TR":%TR,"Tw":%Tw,"Tc":%Tc,"Tr":%Tr,"Ta":%Ta,"status":%ST,"term":"%tsc",'
        '"srv":"%s","method":"%HM","path":"%HPO"}\' (without option logasap)'
    ),
    "traefik": "--accesslog=true --accesslog.format=json --accesslog.filepath=/logs/access.log",
    "envoy": (
        "a file access log with json_format keys start_time_us (%START_TIME(%s.%6f)%), duration (%DURATION%), "
        "response_code, response_flags, response_code_details, method, path (%REQ(:PATH)%), x_request_id, "
        "upstream_host, trace_id (%TRACE_ID%)"
    ),
    "istio": "meshConfig.accessLogFile: /dev/stdout with meshConfig.accessLogEncoding: JSON",
    "envoy-ai-gateway": (
        "an access log as Envoy's, with genai_model_name (%REQ(X-AI-EG-MODEL)%) and genai_tokens_input, "
        "genai_tokens_output (%DYNAMIC_METADATA(io.envoy.ai_gateway:KEY)%, the KEYs of the route's llmRequestCosts)"
    ),
    "litellm": (
        "a custom callback that appends json.dumps(kwargs['standard_logging_object'], default=str) and a line end to a "
        "file, on success and on failure (it holds prompts; not every stream whose client left is told)"
    ),
    "sglang-export": "--enable-metrics --export-metrics-to-file --export-metrics-to-file-dir /logs",
}
