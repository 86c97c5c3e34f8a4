from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.events import Completed, Counted, Dropped, Ended, FirstToken, Heard, ServerRestarted, Started, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from exporter.requests.servers.llamacpp import survey

NOW = 1795234621.0
HALF = 0.0625


def _reader() -> RequestReader:
    return READERS["llamacpp"].build({}, None)


def _live(text: str, at: float = NOW) -> Line:
    return Line(text, Instant(at), Instant(at + 2 * HALF))


def _back(text: str) -> Line:
    return Line(text, Instant(-inf), Instant(NOW))


def _told(reader: RequestReader, *lines: Line) -> list[object]:
    return [event for heard in _heard(reader, *lines) if isinstance(heard, Used) for event in heard.events]


def _heard(reader: RequestReader, *lines: Line) -> list[Heard]:
    return [reader.feed(line) for line in lines]


def _launch(task: int, slot: int = 0) -> str:
    return f"slot launch_slot_: id  {slot} | task {task} | processing task"


def _release(task: int, slot: int = 0, size: int = 67, what: str = "n_tokens") -> str:
    return f"slot      release: id  {slot} | task {task} | stop processing: {what} = {size}, truncated = 0"


def _timings(task: int) -> tuple[str, ...]:
    head = f"slot print_timing: id  0 | task {task} | "
    return tuple(head + rest for rest in BLOCK)


BLOCK = (
    "prompt eval time =      50.00 ms /    30 tokens (    2.66 ms per token,   375.91 tokens per second)",
    "       eval time =     551.99 ms /    30 tokens (   19.03 ms per token,    52.54 tokens per second)",
    "      total time =     601.99 ms /    60 tokens",
)
HEADER = "slot print_timing: id  0 | task 7 | "
IDLE = "srv  update_slots: all slots are idle"
LOADING = "srv    load_model: loading model '/models/m.gguf'"
INITIALIZING = "srv    load_model: initializing, n_slots = 4"


def _stamp(seconds: float) -> str:
    return f"{int(seconds // 60)}.{int(seconds % 60):02}.{int(seconds % 1 * 1000):03}.000 I "


def test_timings_before_release_make_an_end_with_tokens() -> None:
    told = _told(_reader(), _live(_launch(7)), *map(_live, _timings(7)), _live(_release(7), NOW + 1))
    assert told == [
        Started("7", Instant(NOW + HALF), HALF),
        FirstToken("7", Instant(NOW + HALF + 0.05), HALF),
        Ended("7", Instant(NOW + 1 + HALF), HALF, "ok", "finish", None, 38, 8, 30),
    ]


def test_release_before_timings_waits_for_them_and_keeps_its_instant() -> None:
    reader = _reader()
    _told(reader, _live(_launch(7)))
    assert not _told(reader, _live(_release(7, what="n_past")), _live(HEADER), *map(_live, BLOCK[:2]))
    told = _told(reader, _live(BLOCK[2], NOW + 9))
    assert told[-1] == Ended("7", Instant(NOW + HALF), HALF, "ok", "finish", None, 38, 8, 30)


@pytest.mark.parametrize("after", [[IDLE], [_launch(8)], ["srv  log_server_r: request: GET /health 127.0.0.1 200"] * 8])
def test_release_does_not_wait_long_for_timings_that_never_come(after: list[str]) -> None:
    reader = _reader()
    _told(reader, _live(_launch(7)), _live(_release(7, what="n_past")))
    told = _told(reader, *map(_live, after))
    assert told[0] == Ended("7", Instant(NOW + HALF), HALF, "ok", "release")


def test_lines_of_other_threads_may_come_between_release_and_timings() -> None:
    http = "srv  log_server_r: request: POST /completion 127.0.0.1 200"
    told = _told(_reader(), *map(_live, (_launch(7), _release(7, what="n_past"), http, HEADER, BLOCK[0], http, *BLOCK)))
    assert [event.output_tokens for event in told if isinstance(event, Ended)] == [30]


def test_a_cancelled_task_is_aborted_when_its_slot_is_released() -> None:
    cancel = "srv          stop: cancel task, id_task = 7"
    told = _told(_reader(), *map(_live, (_launch(7), cancel, _release(7, size=43))))
    assert told[1:] == [Ended("7", Instant(NOW + HALF), HALF, "aborted", "release")]


def test_a_slot_that_is_used_again_without_release_ends_its_task() -> None:
    told = _told(_reader(), _live(_launch(7)), _live(_launch(8)))
    assert told[1:] == [
        Ended("7", Instant(NOW + HALF), HALF, closing="reuse"),
        Started("8", Instant(NOW + HALF), HALF),
    ]


def test_a_launch_that_is_shipped_twice_is_one_task() -> None:
    assert len(_told(_reader(), _live(_launch(7)), _live(_launch(7)))) == 1


def test_a_verbose_server_tells_the_prompt_even_of_a_cancelled_task() -> None:
    prompt = "slot update_slots: id  0 | task 7 | new prompt, n_ctx_slot = 2048, n_keep = 0, task.n_tokens = 18"
    told = _told(_reader(), *map(_live, (_launch(7), prompt, _release(7, size=20))))
    assert isinstance(told[1], Ended)
    assert told[1].prompt_tokens == 18


def test_a_task_that_was_launched_before_us_is_told_whole() -> None:
    told = _told(_reader(), *map(_live, _timings(7)), _live(_release(7)))
    assert [type(event) for event in told] == [Completed]
    told = _told(_reader(), _live(_release(7, what="n_past")), _live(HEADER), *map(_live, BLOCK))
    assert isinstance(told[0], Completed)
    assert told[0].end - told[0].start == pytest.approx(0.60199, abs=1e-6)


# Time


def test_a_relative_clock_is_anchored_by_live_lines() -> None:
    lines = [_live(_stamp(100 + second) + _launch(second, second), NOW + second) for second in range(3)]
    assert [event.at for event in _told(_reader(), *lines) if isinstance(event, Started)] == [
        NOW + HALF,
        NOW + 1 + HALF,
        NOW + 2 + HALF,
    ]


def test_an_unanchored_clock_places_nothing() -> None:
    lines = [_stamp(100.0) + _launch(7), _stamp(101.0) + _release(7)]
    assert _told(_reader(), *map(_back, lines)) == [Counted(Instant(NOW))]


def test_a_task_that_ends_live_is_placed_although_its_launch_was_read_back() -> None:
    told = _told(_reader(), _back(_stamp(100.0) + _launch(7)), _live(_stamp(103.0) + _release(7), NOW + 3))
    assert isinstance(told[0], Completed)
    assert (told[0].start, told[0].end) == (NOW, NOW + 3)


def test_a_survey_anchors_a_file_of_several_servers() -> None:
    texts = [
        _stamp(0.0) + LOADING,
        _stamp(10.0) + _launch(1),
        _stamp(12.0) + _release(1),
        _stamp(0.0) + LOADING,
        _stamp(5.0) + _launch(1),
        _stamp(8.0) + _release(1),
    ]
    reader = _reader()
    reader.restore(survey(map(_back, texts)))
    told = _told(reader, *map(_back, texts))
    assert [(type(event), getattr(event, "at", None)) for event in told] == [
        (ServerRestarted, NOW - 20.0),
        (Started, NOW - 10.0),
        (Ended, NOW - 8.0),
        (ServerRestarted, NOW - 8.0),
        (Started, NOW - 3.0),
        (Ended, NOW),
    ]


def test_a_clock_that_goes_back_is_a_restart_told_once() -> None:
    reader = _reader()
    _told(reader, _live(_stamp(100.0) + _launch(7)))
    told = _told(reader, _live(_stamp(0.003) + "cmn init: x", NOW + 50), _live(_stamp(0.004) + LOADING, NOW + 50))
    assert [type(event) for event in told] == [ServerRestarted]


def test_a_start_up_line_that_comes_late_among_timed_lines_ends_nothing() -> None:
    reader = _reader()
    _told(reader, _live(_stamp(100.0) + _launch(7)))
    assert not _told(reader, _live(_stamp(0.004) + LOADING, NOW + 0.5))
    told = _told(reader, _live(_stamp(101.0) + _release(7), NOW + 1))
    assert told == [Ended("7", Instant(NOW + 1 + HALF), HALF, closing="release")]


def test_a_model_that_is_loaded_again_by_the_same_process_is_no_restart() -> None:
    reader = _reader()
    _told(reader, _live(_stamp(100.0) + _launch(7)), _live(_stamp(101.0) + _release(7), NOW + 1))
    assert not _told(reader, *(_live(_stamp(900.0) + text, NOW + 800) for text in (LOADING, INITIALIZING)))


@pytest.mark.parametrize("after", [_launch(8, 1), _release(7), BLOCK[0]])
def test_a_bare_start_up_line_is_late_when_slots_go_on_after_it(after: str) -> None:
    reader = _reader()
    _told(reader, _live(_launch(7)))
    told = _told(
        reader, *map(_live, (LOADING, "srv  log_server_r: request: GET /health 127.0.0.1 200", after, INITIALIZING))
    )
    assert ServerRestarted not in map(type, told)


def test_a_bare_restart_is_told_at_its_first_line_once_the_next_ones_confirm_it() -> None:
    reader = _reader()
    _told(reader, _live(_launch(7)))
    assert not _told(reader, _live(LOADING, NOW + 5), _live("AMX is not ready to be used!", NOW + 6))
    assert _told(reader, _live(INITIALIZING, NOW + 7)) == [ServerRestarted(Instant(NOW + 5 + HALF))]


def test_a_launch_whose_clock_went_back_is_dropped_and_its_end_is_told_whole() -> None:
    reader = _reader()
    _told(reader, _live(_stamp(100.0) + _launch(7)))
    assert _heard(reader, _live(_stamp(2.0) + _launch(1), NOW + 5)) == [Dropped("out_of_order")]
    texts = [*_timings(1), _release(1)]
    told = _told(reader, *(_live(_stamp(3.0) + text, NOW + 6) for text in texts))
    assert [type(event) for event in told] == [ServerRestarted, Completed]


def test_json_lines_are_read_like_text() -> None:
    texts = [
        f'{{"type":"log","time":{n + 1}000000,"level":"info","msg":"{text}\\n"}}'
        for n, text in enumerate((_launch(7), *_timings(7), _release(7)))
    ]
    told = _told(_reader(), *(_live(text, NOW + number) for number, text in enumerate(texts)))
    assert [type(event) for event in told] == [Started, FirstToken, Ended]


def test_a_routers_servers_have_tasks_of_their_own() -> None:
    told = _told(_reader(), *map(_live, (f"[8001] {_launch(7)}", f"[8002] {_launch(7)}", f"[8001] {_release(7)}")))
    assert [getattr(event, "id", None) for event in told] == ["8001/7", "8002/7", "8001/7"]


def test_a_restart_of_one_of_a_routers_servers_ends_only_its_own_tasks() -> None:
    reader = _reader()
    _told(reader, _live(f"[8001] {_launch(7)}"), _live(f"[8002] {_launch(7)}"))
    assert _told(reader, _live(f"[8001] {LOADING}"), _live(f"[8001] {INITIALIZING}")) == [
        Ended("8001/7", Instant(NOW + HALF), HALF, "aborted", "restart")
    ]


_free_text = st.text(st.characters(exclude_characters="[0123456789"))
FORGERIES = (_launch(666), _release(7), HEADER, *BLOCK, *_timings(7), LOADING, "srv stop: cancel task, id_task = 7")


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(FORGERIES), _free_text), max_size=5))
def test_a_prompt_cannot_forge_an_event_in_a_log_with_time(pieces: list[str]) -> None:
    reader = _reader()
    _told(reader, _live(_stamp(100.0) + _launch(7)))
    heard = _heard(reader, _live(_stamp(100.0) + "slot update_slots: id 0 | task 7 | prompt:"), *map(_live, pieces))
    assert all(one == Used(()) for one in heard if isinstance(one, Used))
    told = _told(reader, _live(_stamp(101.0) + _release(7), NOW + 1))
    assert [(event.outcome, event.output_tokens) for event in told if isinstance(event, Ended)] == [("ok", None)]
