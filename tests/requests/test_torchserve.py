import pytest

from exporter.domain.events import Completed, Dropped, Heard, Ignored
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.replay import TORCHSERVE_LOGS, back_read, events, feed, requests

NOW = 1795235121.5  # 2026-11-21T04:25:21.5Z
ACCESS = '/127.0.0.1:39262 "POST /predictions/smollm2 HTTP/1.1" 200 665'
STAMP = "2026-11-21T04:25:21,340"
WORKER = f"{STAMP} [INFO ] W-9000-smollm2_1.0 ACCESS_LOG - {ACCESS}"
QUEUE = (
    "2026-11-21T04:25:21,341 [DEBUG] W-9000-smollm2_1.0 org.pytorch.serve.job.RestJob - "
    "Waiting time ns: 260208468, Backend time ns: 405050975"
)
RESPONSE = "2026-11-21T04:25:21,341 [INFO ] {thread} org.pytorch.serve.wlm.WorkerThread - Backend response time: 402"


def _reader() -> RequestReader:
    return READERS["torchserve"].build({}, "UTC")


def _hear(reader: RequestReader, text: str, now: float = NOW) -> Heard:
    return reader.feed(Line(text, Instant(float("-inf")), Instant(now)))


def _told(reader: RequestReader, *lines: str) -> list[Completed]:
    return [event for event in events([_hear(reader, text) for text in lines]) if isinstance(event, Completed)]


def test_both_recorded_files_tell_the_same_requests_and_one_of_them_their_queues() -> None:
    plain, full = (requests(events(feed(log.reader(), back_read(log)))) for log in TORCHSERVE_LOGS)
    assert len(plain) == 5
    assert [(id_, one.end) for id_, one in plain.items()] == [(id_, one.end) for id_, one in full.items()]
    queues = [one.ended.queued_seconds for one in full.values() if isinstance(one.ended, Completed)]
    assert queues == pytest.approx([0.000510, 0.260208, 0.520499, 0.772797, 1.025160], abs=1e-6)
    for one, other in zip(full.values(), plain.values(), strict=True):
        assert isinstance(one.ended, Completed)
        assert one.start - one.ended.queued_seconds == pytest.approx(other.start)
        # One worker serves one request at a time: 400 ms of sleep in this handler.
        assert one.end - one.start == pytest.approx(0.405, abs=0.005)


def test_a_workers_request_waits_for_the_next_line_of_its_thread() -> None:
    reader = _reader()
    assert _hear(reader, WORKER) == Ignored("held")
    assert _told(reader, RESPONSE.format(thread="W-9001-smollm2_1.0")) == []
    (told,) = _told(reader, QUEUE, QUEUE)
    assert told.queued_seconds == pytest.approx(0.260208468)
    assert told.end - told.start == pytest.approx(0.665 - 0.260208468)


def test_a_log_without_debug_lines_tells_the_request_with_its_queue_inside() -> None:
    (told,) = _told(_reader(), WORKER, RESPONSE.format(thread="W-9000-smollm2_1.0"))
    assert told.queued_seconds == 0.0
    assert told.end - told.start == pytest.approx(0.665)


def test_a_thread_that_falls_silent_holds_nothing_for_ever() -> None:
    reader = _reader()
    _hear(reader, WORKER)
    heard = _hear(reader, "anything else", NOW + 1.1)
    assert [type(event) for event in events([heard])] == [Completed]


def test_a_queue_longer_than_the_request_is_cut() -> None:
    (told,) = _told(_reader(), WORKER, QUEUE.replace("260208468", "99260208468"))
    assert told.start == pytest.approx(told.end)


def test_one_request_in_both_files_is_told_once() -> None:
    reader = _reader()
    assert len(_told(reader, f"{STAMP} - {ACCESS}")) == 1
    assert _hear(reader, WORKER) == Ignored("repeat")


@pytest.mark.parametrize(
    ("access", "outcome", "model"),
    [
        ('/10.0.0.1:1 "POST /predictions/m/2.0 HTTP/1.1" 503 3', "error", "m"),
        ('/10.0.0.1:1 "POST /v2/models/m/infer HTTP/1.1" 200 3', "ok", "m"),
        ('/[0:0:0:0:0:0:0:1]:1 "POST /v1/models/m:predict HTTP/1.1" 200 3', "ok", "m"),
        ('/10.0.0.1:1 "PUT /wfpredict/flow HTTP/1.1" 200 3', "ok", "flow"),
        (
            '/10.0.0.1:1 "gRPC org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions HTTP/2.0" CANCELLED 3',
            "aborted",
            None,
        ),
    ],
)
def test_predictions_of_every_interface_are_requests(access: str, outcome: str, model: str | None) -> None:
    (told,) = _told(_reader(), f"{STAMP} - {access}")
    assert (told.outcome, told.model) == (outcome, model)


@pytest.mark.parametrize("path", ["/ping", "/models/m", "/metrics"])
def test_other_paths_are_none(path: str) -> None:
    assert _hear(_reader(), f'{STAMP} - /10.0.0.1:1 "POST {path} HTTP/1.1" 200 3') == Ignored("other_endpoint")


def test_an_access_line_without_its_duration_is_dropped() -> None:
    assert _hear(_reader(), f'{STAMP} - /10.0.0.1:1 "POST /predictions/m HTTP/1.1" 200') == Dropped("bad_request_line")


def test_what_a_handler_prints_is_no_request() -> None:
    text = f"{STAMP} [INFO ] W-9000-m_1.0-stdout MODEL_LOG - {STAMP} - {ACCESS}"
    assert _told(_reader(), text) == []


def test_memory_is_bounded() -> None:
    reader = _reader()
    for n in range(5_000):
        _hear(reader, f'{STAMP} [INFO ] W-{n}-m ACCESS_LOG - /10.0.0.1:{n} "POST /predictions/m HTTP/1.1" 200 3')
    assert len(reader.snapshot()["held"]) == 1_024
    assert len(reader.snapshot()["told"]) == 4_096
