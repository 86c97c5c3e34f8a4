"""TorchServe's access lines, written when a request ended, with the milliseconds that it took.

In `access_log.log`:

    2026-11-21T04:25:21,340 - /127.0.0.1:39262 "POST /predictions/smollm2 HTTP/1.1" 200 665

`ts_log.log` has the same, and behind it, by the same worker's thread, how much of that was queue:

    2026-11-21T04:25:21,340 [INFO ] W-9000-m_1.0 ACCESS_LOG - /127.0.0.1:39262 "POST /predictions/m HTTP/1.1" 200 665
    2026-11-21T04:25:21,341 [DEBUG] W-9000-m_1.0 org.pytorch.serve.job.RestJob - Waiting time ns: 260208468, Backend ...
    2026-11-21T04:25:21,341 [INFO ] W-9000-m_1.0 org.pytorch.serve.wlm.WorkerThread - Backend response time: 402

So a worker's access line is held until that thread's next line, which comes at once; another thread's line a second
later lets it go as well. A request is known by its client's address and the stamp of its end, so that both files, or
lines written twice, tell it once.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import tzinfo
from typing import Any, NamedTuple

from exporter.domain.errors import ConfigError
from exporter.domain.events import Completed, Dropped, Heard, Ignored, Outcome, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.access import is_inference
from exporter.requests.parts.chatter import logged, printed
from exporter.requests.parts.stamps import iso_stamps, moment, time_zone
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "execution, from the end, the duration and the queue, in ts_log.log; arrival in access_log.log",
    "first_token": "no",
    "end": "yes",
    "tokens": "no",
    "clock": "local time in milliseconds",
}
ADVICE = (
    "Read ts_log.log alone, with the logger org.pytorch.serve at level debug as it is by default: it has the access "
    "lines and the time in the queue; access_log.log has the queue within the duration."
)

_MOST_REMEMBERED = 4_096
_MOST_HELD = 1_024
_PATIENCE_SECONDS = 1.0
_HEAD = 4_096
_LONGEST_NAME = 256
_DURATION_PRECISION = 1e-3

_LINE = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d,\d{3})(?: \[([A-Z]{4,5}) *\] (\S{1,256}) (\S{1,256}))? - (.*)", re.DOTALL
)
_ACCESS = re.compile(r'/?(\S{1,128}) "(\S{1,16}) (\S+) HTTP/[\d.]+" (\d{3}|[A-Z_]{2,32}) (\d{1,12})\s*$')
_WAITING = re.compile(r"Waiting time ns: (\d{1,18}), (?:Backend|Inference) time ns: \d")
_MODEL = re.compile(r"/(?:predictions|wfpredict|explanations|v1/models|v2/models)/([^/?:]+)")
_PREDICTS = ("/predictions/", "/wfpredict/", "/explanations/")
_GRPC_PREDICTS = ("/Predictions", "/StreamPredictions", "/StreamPredictions2", "/ModelInfer")

_REPEAT = Ignored("repeat")
_DETAIL = Ignored("request_detail")
_HELD = Ignored("held")
_OTHER_ENDPOINT = Ignored("other_endpoint")
_BAD_LINE = Dropped("bad_request_line")
_NO_TIME = Dropped("no_time")


class _Held(NamedTuple):
    """A request whose queue may still be told, and when its line was read."""

    request: Completed
    read_at: float


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of TorchServe's logs. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source torchserve has no options")
    return TorchServeReader(time_zone(timezone))


class TorchServeReader:
    """Reads access_log.log or ts_log.log."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._stamps = iso_stamps(zone)
        self._held: dict[str, _Held] = {}  # by thread
        self._told: dict[str, None] = {}

    def feed(self, line: Line) -> Heard:
        """Say what this line means."""
        found = _LINE.match(line.text[:_HEAD])
        if found is None:
            return self._with(self._overdue(line.not_after), printed(line.text))
        stamp, level, thread, logger, message = found.groups()
        released = self._overdue(line.not_after)
        if thread in self._held:
            released.append(self._release(thread, message))
        if thread is None or logger == "ACCESS_LOG":
            return self._with(released, self._access(stamp, thread, message, line))
        return self._with(released, _DETAIL if _WAITING.match(message) else logged(level, message, starting=False))

    def snapshot(self) -> Mapping[str, Any]:
        """The requests that are held, and the last that were told."""
        return {
            "told": list(self._told),
            "held": {thread: _as_json(held) for thread, held in self._held.items()},
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot. An unusable snapshot is as good as none."""
        try:
            told = {str(id_): None for id_ in snapshot["told"]}
            held = {str(thread): _from_json(row) for thread, row in snapshot["held"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        self._told, self._held = told, held

    def _access(self, stamp: str, thread: str | None, message: str, line: Line) -> Heard:
        found = _ACCESS.match(message)
        if found is None:
            return _BAD_LINE if '"POST /' in message[:_LONGEST_NAME] else printed(message)
        address, method, path, status, milliseconds = found.groups()
        if not _is_prediction(method, path):
            return _OTHER_ENDPOINT
        id_ = f"{address}@{stamp}"
        if id_ in self._told:
            return _REPEAT
        end = moment(line, self._stamps.read(stamp, line.not_after))
        if end is None:
            return _NO_TIME
        self._remember(id_)
        seconds, model = int(milliseconds) / 1e3, _MODEL.match(path)
        request = Completed(
            id_,
            Instant(end.at - seconds),
            end.at,
            end.uncertainty + _DURATION_PRECISION / 2,
            end.uncertainty,
            outcome=_outcome(status),
            model=model[1][:_LONGEST_NAME] if model else None,
        )
        if thread is None or not thread.startswith("W-") or len(self._held) >= _MOST_HELD:
            return Used((request,))
        self._held[thread] = _Held(request, line.not_after)
        return _HELD

    def _release(self, thread: str, message: str) -> Completed:
        request = self._held.pop(thread).request
        waiting = _WAITING.match(message)
        if waiting is None:
            return request
        queued = min(int(waiting[1]) / 1e9, request.end - request.start)
        return replace(request, start=Instant(request.start + queued), queued_seconds=queued)

    def _overdue(self, now: float) -> list[Completed]:
        late = [thread for thread, held in self._held.items() if now - held.read_at > _PATIENCE_SECONDS]
        return [self._held.pop(thread).request for thread in late]

    def _remember(self, id_: str) -> None:
        self._told[id_] = None
        if len(self._told) > _MOST_REMEMBERED:
            del self._told[next(iter(self._told))]

    def _with(self, released: list[Completed], heard: Heard) -> Heard:
        if not released:
            return heard
        return Used((*released, *(heard.events if isinstance(heard, Used) else ())))


def _is_prediction(method: str, path: str) -> bool:
    if method == "gRPC":
        return path.endswith(_GRPC_PREDICTS)
    return method in ("POST", "PUT") and (path.startswith(_PREDICTS) or is_inference(path))


def _outcome(status: str) -> Outcome:
    if status == "CANCELLED":
        return "aborted"
    return "ok" if status < "400" or status == "OK" else "error"


def _as_json(held: _Held) -> list[Any]:
    one = held.request
    return [
        [one.id, one.start, one.end, one.start_uncertainty, one.end_uncertainty],
        one.outcome,
        one.model,
        held.read_at,
    ]


def _from_json(row: list[Any]) -> _Held:
    (id_, *numbers), outcome, model, read_at = row
    start, end, start_uncertainty, end_uncertainty = (float(number) for number in numbers)
    if outcome not in ("ok", "error", "aborted"):
        raise ValueError(outcome)
    request = Completed(
        str(id_), Instant(start), Instant(end), start_uncertainty, end_uncertainty, outcome=outcome, model=model
    )
    return _Held(request, float(read_at))
