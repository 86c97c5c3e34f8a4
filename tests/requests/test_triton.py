import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.domain.events import Completed, Counted, Dropped, Heard, Ignored
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.arrival.arriving import Follow, set_modified
from tests.requests.replay import events

NOW = 1795234621.0
BOOT = NOW - 5_000.0
VERBOSE = 'I1121 04:17:00.500000 1 http_server.cc:4857] "HTTP request: {method} {path}"'


def _reader() -> RequestReader:
    return READERS["triton"].build({}, "UTC")


def _pieces(id_: int, end: float, model: str = "m", **more: object) -> list[dict[str, object]]:
    """A request that queued for 100 ms and ran for 400 ms until `end` seconds after the machine began."""
    first: dict[str, object] = {"id": id_, "model_name": model, "model_version": 1, **more}
    times = {
        "REQUEST_START": end - 0.6,
        "QUEUE_START": end - 0.5,
        "COMPUTE_START": end - 0.4,
        "COMPUTE_END": end - 0.001,
        "REQUEST_END": end,
    }
    return [first, *({"id": id_, "timestamps": [_stamp(name, at)]} for name, at in times.items())]


def _stamp(name: str, at: float) -> Mapping[str, object]:
    return {"name": name, "ns": round(at * 1e9)}


def _array(*requests: list[dict[str, object]]) -> str:
    return json.dumps([piece for request in requests for piece in request], separators=(",", ":"))


def _hear(reader: RequestReader, text: str, after: float = NOW - 0.1, until: float = NOW) -> Heard:
    return reader.feed(Line(text, Instant(after), Instant(until)))


def _told(heard: Heard) -> list[Completed]:
    return [event for event in events([heard]) if isinstance(event, Completed)]


def test_a_trace_file_is_anchored_by_when_it_appeared() -> None:
    (told,) = _told(_hear(_reader(), _array(_pieces(1, 4_999.95))))
    assert told.model == "m"
    assert told.end == pytest.approx(NOW - 0.05)
    assert told.end_uncertainty == pytest.approx(0.05)
    assert told.end - told.start == pytest.approx(0.4)
    assert told.queued_seconds == pytest.approx(0.1)


def test_the_clock_is_known_better_with_every_file() -> None:
    reader = _reader()
    _hear(reader, _array(_pieces(1, 4_990.0)), NOW - 10.01, NOW - 9.91)
    (told,) = _told(_hear(reader, _array(_pieces(2, 4_999.95))))
    assert told.end == pytest.approx(BOOT + 4_999.95 + 0.015, abs=0.03)
    assert told.end_uncertainty < 0.05


def test_a_file_holds_many_requests_and_the_earlier_ones_keep_their_distance() -> None:
    first, second = _told(_hear(_reader(), _array(_pieces(1, 4_990.0), _pieces(2, 4_999.95))))
    assert second.end - first.end == pytest.approx(9.95)


def test_a_file_read_back_later_only_counts() -> None:
    heard = _hear(_reader(), _array(_pieces(1, 4_990.0), _pieces(2, 4_999.95)), after=float("-inf"))
    assert events([heard]) == [Counted(Instant(NOW)), Counted(Instant(NOW))]


def test_the_first_file_after_the_machine_began_anew_only_counts() -> None:
    reader = _reader()
    _hear(reader, _array(_pieces(1, 4_999.95)))
    later = NOW + 600.0
    heard = _hear(reader, _array(_pieces(1, 30.0)), later - 0.1, later)
    assert events([heard]) == [Counted(Instant(later))]
    (told,) = _told(_hear(reader, _array(_pieces(2, 35.0)), later + 4.9, later + 5.0))
    assert told.end == pytest.approx(later + 4.95, abs=0.06)


def test_pieces_of_one_request_are_joined_across_lines() -> None:
    reader, pieces = _reader(), _pieces(1, 4_999.95)
    assert _hear(reader, "[" + ",".join(json.dumps(piece) for piece in pieces[:3])) == Ignored("request_detail")
    (told,) = _told(_hear(reader, "," + ",".join(json.dumps(piece) for piece in pieces[3:]) + "]"))
    assert told.end - told.start == pytest.approx(0.4)


def test_an_id_that_is_used_again_is_another_request() -> None:
    reader = _reader()
    (first,) = _told(_hear(reader, _array(_pieces(1, 4_990.0))))
    _hear(reader, _array(_pieces(1, 4_995.0)[:2]))
    (second,) = _told(_hear(reader, _array(_pieces(1, 4_999.0))))
    assert first.id != second.id
    assert second.end - second.start == pytest.approx(0.4)


def test_the_parts_of_an_ensemble_are_no_requests_of_their_own() -> None:
    told = _told(_hear(_reader(), _array(_pieces(1, 4_999.0, "ensemble"), _pieces(2, 4_999.0, "part", parent_id=1))))
    assert [one.model for one in told] == ["ensemble"]


def test_without_compute_stamps_the_queue_is_within_the_request() -> None:
    pieces = [piece for piece in _pieces(1, 4_999.0) if "COMPUTE" not in str(piece)]
    (told,) = _told(_hear(_reader(), _array(pieces)))
    assert told.end - told.start == pytest.approx(0.5)
    assert told.queued_seconds == 0.0


def test_a_broken_array_tells_what_was_whole() -> None:
    text = _array(_pieces(1, 4_999.0))[:-1] + ',{"id":2,"model_na'
    assert len(_told(_hear(_reader(), text))) == 1
    assert _hear(_reader(), '[{"id":1,"model_name":') == Dropped("bad_json")


@pytest.mark.parametrize(
    "piece",
    [
        {"id": "1", "timestamps": [{"name": "REQUEST_END", "ns": 1}]},
        {"id": 1, "timestamps": {"REQUEST_END": 1}},
        {"id": 1, "timestamps": [7, {"name": 3, "ns": 1}, {"name": "REQUEST_END", "ns": -1}]},
        {"id": 1, "timestamps": [{"name": "REQUEST_END", "ns": 1e300}]},
    ],
)
def test_pieces_of_a_wrong_kind_tell_nothing(piece: object) -> None:
    assert _hear(_reader(), json.dumps([piece])) == Ignored("request_detail")


def test_files_that_appear_are_followed_and_anchored(tmp_path: Path) -> None:
    follow, reader = Follow(tmp_path / "trace.json.*"), _reader()
    assert follow.lines() == []
    told = []
    for number, wait in enumerate((1.3, 1.7, 1.2)):
        ended = follow.now + wait / 2
        path = tmp_path / f"trace.json.{number}"
        path.write_text(_array(_pieces(number, ended + 100.0)))
        set_modified(path, ended + 0.002)
        told += [one for line in follow.lines(after=wait) for one in _told(reader.feed(line))]
        assert told[number].end == pytest.approx(ended, abs=told[number].end_uncertainty + 0.03)
    assert 0.5 > told[0].end_uncertainty > told[2].end_uncertainty


def test_verbose_lines_count_posts_of_inference_while_no_trace_was_read() -> None:
    reader = _reader()
    infer = VERBOSE.format(method=2, path="/v2/models/m/versions/1/infer")
    assert isinstance(events([_hear(reader, infer)])[0], Counted)
    assert _hear(reader, VERBOSE.format(method=0, path="/v2/models/m/infer")) == Ignored("other_endpoint")
    assert _hear(reader, VERBOSE.format(method=2, path="/v2/repository/index")) == Ignored("other_endpoint")
    _hear(reader, _array(_pieces(1, 4_999.0)))
    assert _hear(reader, infer) == Ignored("access_line")


def test_verbose_stamps_are_utc_whatever_the_time_zone_of_the_others() -> None:
    reader = READERS["triton"].build({}, "Asia/Tokyo")
    text = VERBOSE.format(method=2, path="/v2/models/m/infer")
    (counted,) = events([_hear(reader, text, after=float("-inf"))])
    assert isinstance(counted, Counted)
    assert counted.at == pytest.approx(NOW - 0.5)


def test_memory_is_bounded() -> None:
    reader = _reader()
    for n in range(5_000):
        _hear(reader, json.dumps([{"id": n, "model_name": "m"}]))
    assert len(reader.snapshot()["open"]) == 4_096
