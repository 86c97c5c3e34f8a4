r"""TGI's log (text-generation-inference): one line when a request has ended well, in text or as --json-output.

    2026-01-08T15:04:01.655020Z  INFO generate{parameters=GenerateParameters { .. } total_time="402.771215ms"
      validation_time="611.02µs" queue_time="48.551µs" inference_time="402.111702ms" time_per_token="25.131981ms"
      seed="None"}: text_generation_router::server: router/src/server.rs:432: Success

Execution lasted `inference_time` until the stamp, which is UTC and has microseconds; before it came validation and
queue. `time_per_token` is the inference time divided by the output tokens, cut to a nanosecond: where only one number
of tokens gives just this quotient, that number is told. The durations are those of the innermost request; one line of
several prompts repeats them, and the last ones are the line's. Colour is on by default, even in files.

Failures are one error line a request, inside the request's span, without any duration: they are counted. Clients that
go away leave no line at all.

Prompts. Spans print the parameters (stop sequences, grammars) with quotes and line ends escaped, so nothing in them
looks like a closed `name="duration"`. LOG_LEVEL=debug prints prompts as they are: then only --json-output is safe.
"""

import json
import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Counted, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import later
from exporter.requests.parts.chatter import printed
from exporter.requests.parts.durations import NANOSECOND, nanoseconds
from exporter.requests.parts.stamps import iso_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "execution: the stamp less the inference time; the time in the queue is told apart",
    "first_token": "no",
    "end": "of requests that ended well; failures are only counted, and clients that went away leave no line",
    "tokens": "output only, from the inference time and the time per token; none for the prompt",
    "clock": "microseconds, UTC",
}
ADVICE = (
    "TGI tells this at its default LOG_LEVEL=info; --json-output is the surest to read (text is coloured unless "
    "LOG_COLORIZE=1). It names no prompt tokens, model, first token or aborted request: the exporter's proxy, or a "
    "gateway's log, before it tells those."
)

_SPANS = (
    "generate",
    "generate_stream",
    "compat_generate",
    "chat_completions",
    "completions",
    "vertex_compatibility",
    "sagemaker_compatibility",
    "kserve_model_infer",
)
_HEAD = 512
_TAIL = 2_048
_LONGEST_STAMP = 64

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z) +([A-Z]{4,5}) (\w+)")
_SUCCESS = re.compile(r": text_generation_router\w*(?:::\w+)*: [\w./-]+:\d+: Success\s*$")
_DURATION = re.compile(r'\b([a-z_]{4,16})="(\d[^"\\ ]{0,40})"')

_LAUNCHER = Ignored("launcher")
_SERVER = Ignored("server")
_JSON_RECORD = Ignored("json_record")
_BAD_JSON = Dropped("bad_json")
_BAD_SUCCESS = Dropped("bad_success_line")
_NO_TIME = Dropped("no_time")


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of TGI's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source tgi has no options")
    return TgiReader(time_zone(timezone))


class TgiReader:
    """Reads the log of one TGI router; every line says all by itself."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._stamps = iso_stamps(zone)

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        return self._json(line) if line.text.startswith("{") else self._text(line)

    def snapshot(self) -> Mapping[str, Any]:
        """Nothing: it remembers nothing."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Nothing needs restoring."""

    def _text(self, line: Line) -> Heard:
        found = _PREFIX.match(_ANSI.sub("", line.text[:_HEAD]))
        if found is None:
            return printed(line.text)
        stamp, level, span = found.groups()
        if level == "ERROR" and span in _SPANS:
            return self._failed(stamp, line)
        if level != "INFO" or not line.text.rstrip().endswith("Success"):
            return _LAUNCHER if span == "text_generation_launcher" else _SERVER
        tail = _ANSI.sub("", line.text[-_TAIL:])
        return self._success(dict(_DURATION.findall(tail)), stamp, line) if _SUCCESS.search(tail) else _SERVER

    def _json(self, line: Line) -> Heard:
        try:
            record = json.loads(line.text)
        except (ValueError, RecursionError):
            return _BAD_JSON
        stamp, target = record.get("timestamp"), record.get("target")
        if not isinstance(stamp, str) or not isinstance(target, str):
            return _JSON_RECORD
        if not target.startswith("text_generation_router"):
            return _LAUNCHER if target == "text_generation_launcher" else _SERVER
        spans = _spans(record)
        if record.get("level") == "ERROR" and spans and spans[0].get("name") in _SPANS:
            return self._failed(stamp, line)
        if record.get("level") != "INFO" or record.get("message") != "Success":
            return _SERVER
        timed: Mapping[str, Any] = next((span for span in reversed(spans) if "inference_time" in span), {})
        return self._success({key: value for key, value in timed.items() if isinstance(value, str)}, stamp, line)

    def _failed(self, stamp: str, line: Line) -> Heard:
        when = moment(line, self._stamps.read(stamp, line.not_after))
        return Used((Counted(when.at if when else line.not_after, "error"),))

    def _success(self, fields: Mapping[str, str], stamp: str, line: Line) -> Heard:
        inference = _nanoseconds(fields, "inference_time")
        if inference is None:
            return _BAD_SUCCESS
        end = moment(line, self._stamps.read(stamp, line.not_after))
        if end is None:
            return _NO_TIME
        waited = (_nanoseconds(fields, "validation_time") or 0) + (_nanoseconds(fields, "queue_time") or 0)
        start = later(end.at, -inference * NANOSECOND)
        return Used(
            (
                Completed(
                    f"{stamp[:_LONGEST_STAMP]}/{inference}",  # a line that is shipped twice is the same request
                    start,
                    end.at,
                    end.uncertainty,
                    end.uncertainty,
                    queued_seconds=waited * NANOSECOND,
                    output_tokens=_output_tokens(inference, _nanoseconds(fields, "time_per_token")),
                ),
            )
        )


def _spans(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The spans of a record, the outermost first."""
    outer, inner = record.get("spans"), record.get("span")
    return [span for span in (*(outer if isinstance(outer, list) else ()), inner) if isinstance(span, dict)]


def _nanoseconds(fields: Mapping[str, str], name: str) -> int | None:
    return nanoseconds(fields.get(name, "")[:64])


def _output_tokens(inference: int, per_token: int | None) -> int | None:
    """The one number that divides the inference time into just this time per token; None where there are several."""
    if not per_token or per_token > inference:
        return None
    tokens = inference // per_token
    if inference // tokens != per_token or (tokens > 1 and inference // (tokens - 1) == per_token):
        return None
    return tokens
