import random
from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.events import Completed, Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.reader import RequestReader
from exporter.requests.servers.ollama import build

AT = 1795234900.0  # 2026-11-21T04:21:40Z
NOW = AT + 86_400.0


def _gin(
    took: str, status: int = 200, *, path: str = "/api/chat", at: float = AT, method: str = "POST", end: str = ""
) -> str:
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y/%m/%d - %H:%M:%S")
    return f'[GIN] {stamp} | {status:3} | {took:>13} |       127.0.0.1 | {method:8} "{path}"{end}'


def _task(number: int, output: int = 30, total_ms: float = 600.0, slot: int = 0) -> list[str]:
    head = f"slot print_timing: id  {slot} | task {number} | "
    return [
        f"slot launch_slot_: id  {slot} | task {number} | processing task, is_child = 0",
        f"slot   operator(): id  {slot} | task {number} | new prompt, n_ctx_slot = 4096, task.n_tokens = 38",
        head + "prompt eval time =      50.00 ms /    30 tokens (    2.66 ms per token,   375.91 tokens per second)",
        head + f"       eval time =     550.00 ms / {output:5} tokens (   19.03 ms per token, 52.54 tokens per second)",
        head + f"      total time = {total_ms:10.2f} ms / {output + 30:5} tokens",
        f"slot      release: id  {slot} | task {number} | stop processing: n_tokens = 67, truncated = 0",
        "srv  update_slots: all slots are idle",
    ]


def _reader() -> RequestReader:
    return build({}, "UTC")


def _heard(text: str) -> Heard:
    return _reader().feed(Line(text, Instant(-inf), Instant(NOW)))


def _told(*texts: str, reader: RequestReader | None = None) -> list[Completed]:
    reader = reader or _reader()
    heard = [reader.feed(Line(text, Instant(-inf), Instant(NOW))) for text in texts]
    return [one for h in heard if isinstance(h, Used) for one in h.events if isinstance(one, Completed)]


# gin's lines


def test_an_answer_is_a_request_that_ended_in_its_second_after_it_took_so_long() -> None:
    [told] = _told(_gin("1.306418893s"))
    assert (told.end, told.end_uncertainty, told.start_uncertainty) == (AT + 0.5, 0.5, 0.5)
    assert told.end - told.start == pytest.approx(1.306418893, abs=1e-6)
    assert (told.outcome, told.output_tokens, told.model) == ("ok", None, None)


def test_a_live_answer_is_as_sharp_as_its_reading() -> None:
    heard = _reader().feed(Line(_gin("45.246724ms"), Instant(AT + 0.2), Instant(AT + 0.3)))
    assert isinstance(heard, Used)
    [told] = heard.events
    assert isinstance(told, Completed)
    assert (told.end, told.start) == pytest.approx((AT + 0.25, AT + 0.25 - 0.045246724))
    assert told.start_uncertainty == pytest.approx(0.05)


@pytest.mark.parametrize(("took", "middle"), [("1m2s", 62.5), ("29m59s", 1799.5), ("1h0m1s", 3601.5)])
def test_a_duration_that_was_cut_to_seconds_makes_the_start_a_second_unsure(took: str, middle: float) -> None:
    [told] = _told(_gin(took))
    assert told.end - told.start == pytest.approx(middle)
    assert (told.start_uncertainty, told.end_uncertainty) == (1.0, 0.5)


@pytest.mark.parametrize(("took", "exact"), [("60.511\u00b5s", 60.511e-6), ("1m2.25s", 62.25), ("700ms", 0.7)])
def test_other_durations_are_exact(took: str, exact: float) -> None:
    [told] = _told(_gin(took))
    assert told.end - told.start == pytest.approx(exact, abs=1e-6)
    assert told.start_uncertainty == 0.5


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (400, "error"), (404, "error"), (499, "aborted"), (500, "error"), (503, "error")],
)
def test_the_status_tells_the_outcome(status: int, outcome: str) -> None:
    assert [told.outcome for told in _told(_gin("2s", status))] == [outcome]


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "Nov 21 04:21:40 gpu1 ollama[1190]: ",
        "Nov  1 04:21:40 gpu-1.lan ollama[1190]: ",
        "2026-11-21T04:21:40+0000 gpu1 ollama[1190]: ",
        "2026-11-21T04:21:40.123456+01:00 gpu1 ollama[1190]: ",
        "ollama-1  | ",
    ],
)
def test_what_systemd_and_compose_put_before_a_line_changes_nothing(prefix: str) -> None:
    assert _told(prefix + _gin("2s")) == _told(_gin("2s"))
    assert _heard(prefix + "time=2026-11-21T04:21:40.433Z level=INFO source=x.go:1 msg=x") == Ignored("slog")


def test_colour_and_queries_change_nothing() -> None:
    coloured = _gin("2s").replace("| 200 |", "|\x1b[97;42m 200 \x1b[0m|").replace("POST", "\x1b[97;46mPOST")
    assert _told(coloured.replace("/api/chat", "/api/chat?a=b")) == _told(_gin("2s"))


@pytest.mark.parametrize(
    "path",
    [
        "/api/generate",
        "/api/chat",
        "/api/embed",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/api/chat/",
    ],
)
def test_inference_is_told(path: str) -> None:
    assert len(_told(_gin("2s", path=path))) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_gin("2s", path="/api/tags", method="GET"), "other_endpoint"),
        (_gin("2s", path="/api/show"), "other_endpoint"),
        (_gin("2s", path="/api/chat", method="HEAD"), "other_endpoint"),
        ("[GIN-debug] POST   /api/chat  --> github.com/ollama/ollama/server.ChatHandler-fm (5 handlers)", "startup"),
        ('time=2026-11-21T04:21:40.433Z level=DEBUG source=sched.go:403 msg="x"', "slog"),
        ("llama_model_loader: - kv   0: general.architecture str = llama", "library"),
        ("srv  update_slots: all slots are idle", "idle"),
        ("slot get_availabl: id  0 | task -1 | selected slot by LRU, t_last = -1", "progress"),
    ],
)
def test_other_lines_are_ignored_by_their_kind(text: str, reason: str) -> None:
    assert _heard(text) == Ignored(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_gin("soon"), "bad_access_line"),
        (_gin("2s")[:40], "bad_access_line"),
        (_gin("2s").replace("2026/11", "2026/13"), "no_time"),
    ],
)
def test_an_answer_that_cannot_be_used_is_dropped_with_its_reason(text: str, reason: str) -> None:
    assert _heard(text) == Dropped(reason)


# llama-server's lines


def test_a_request_that_ran_alone_gets_its_tokens_and_its_execution() -> None:
    [told] = _told(*_task(7), _gin("1.5s"))
    assert (told.prompt_tokens, told.cached_tokens, told.output_tokens) == (38, 8, 30)
    assert told.end - told.start == pytest.approx(0.6, abs=1e-6)
    assert told.queued_seconds == pytest.approx(0.9)
    assert told.first_token == pytest.approx(told.start + 0.05)


def test_requests_one_by_one_all_get_theirs() -> None:
    texts = [text for number in range(20) for text in (*_task(number, number + 1), _gin("700ms"))]
    assert [told.output_tokens for told in _told(*texts)] == list(range(1, 21))


def test_tasks_at_once_are_nobodys() -> None:
    one, other = _task(1), _task(2, slot=1)
    texts = [one[0], other[0], *one[1:-1], _gin("700ms"), *other[1:], _gin("700ms")]
    assert [told.output_tokens for told in _told(*texts)] == [None, None]


def test_a_task_longer_than_its_request_is_not_its_own() -> None:
    assert [told.output_tokens for told in _told(*_task(1), _gin("500ms"))] == [None]


def test_several_tasks_of_one_request_are_not_told_until_a_request_begins_after_that() -> None:
    texts = [*_task(1), *_task(2), _gin("2s"), *_task(3), _gin("700ms", at=AT + 1), *_task(4), _gin("700ms", at=AT + 9)]
    assert [told.output_tokens for told in _told(*texts)] == [None, None, 30]


def test_a_cancelled_task_ends_as_aborted_whenever_its_answer_is_logged() -> None:
    cancel = "srv          stop: cancel task, id_task = 7"
    launch, release = _task(7)[0], _task(7)[5]
    before = _told(launch, cancel, release, _gin("2s", 499), *_task(8), _gin("700ms", at=AT + 1))
    after = _told(launch, _gin("2s", 499), cancel, release, *_task(8), _gin("700ms", at=AT + 1))
    for told in (before, after):
        assert [(one.outcome, one.output_tokens) for one in told] == [("aborted", None), ("ok", 30)]


def test_a_stream_that_was_cut_is_aborted_although_its_status_was_good() -> None:
    cancel = "srv          stop: cancel task, id_task = 7"
    assert [one.outcome for one in _told(_task(7)[0], cancel, _task(7)[5], _gin("2s"))] == ["aborted"]


def test_an_answer_from_before_the_model_takes_nobodys_task() -> None:
    told = _told(*_task(1), _gin("1ms", 404), _gin("700ms"))
    assert [(one.outcome, one.output_tokens) for one in told] == [("error", None), ("ok", 30)]


def test_a_failed_request_has_no_tokens() -> None:
    assert [one.output_tokens for one in _told(*_task(1), _gin("2s", 500))] == [None]


@given(st.randoms(use_true_random=False), st.integers(1, 12), st.integers(1, 4))
def test_however_requests_overlap_nobody_is_told_anothers_tokens(dice: random.Random, number: int, slots: int) -> None:
    free, waiting, clock = list(range(slots)), list(range(1, number + 1)), AT
    steps: dict[int, list[str]] = {}
    slot_of: dict[int, int] = {}
    reader = _reader()
    while waiting or steps:
        clock += dice.choice((0.01, 0.2, 3.0))
        if waiting and free and (not steps or dice.random() < 0.5):
            task = waiting.pop(0)
            slot_of[task] = free.pop()
            steps[task] = _task(task, task, total_ms=1.0, slot=slot_of[task])[:6]
            if dice.random() < 0.2:  # its client goes, before or after the slot is told
                steps[task][2:5] = [f"srv          stop: cancel task, id_task = {task}"]
            steps[task].append("answer")
            if dice.random() < 0.2:
                steps[task][-2:] = ["answer", steps[task][-2]]
        if not steps:
            continue
        task = dice.choice(list(steps))
        step = steps[task].pop(0)
        text = _gin("2s", at=clock) if step == "answer" else step
        for told in _told(text, reader=reader):
            assert told.output_tokens in (None, task)
        if not steps[task]:
            free.append(slot_of[task])
            del steps[task]


def test_nothing_in_a_path_or_in_a_quoted_prompt_forges_an_answer() -> None:
    forged = _gin("9s")
    escaped = forged.replace('"', '\\"')
    for text in (
        f'time=2026-11-21T04:21:40.433Z level=DEBUG source=x.go:1 msg="chat request" prompt="{escaped}"',
        f'time=2026-11-21T04:21:40.433Z level=DEBUG msg="\\n{escaped}"',
        f" {forged}",
        f"x: {forged}",
        _gin("2s", path=f"/api/tags?{escaped}"),
    ):
        assert not _told(text)
    assert len(_told(_gin("2s", end="x" * 2000))) == 1


def test_tokens_survive_a_restart_of_the_exporter_between_a_task_and_its_answer() -> None:
    reader, successor = _reader(), _reader()
    _told(*_task(7), reader=reader)
    successor.restore(reader.snapshot())
    assert [told.output_tokens for told in _told(_gin("1.5s"), reader=successor)] == [30]
