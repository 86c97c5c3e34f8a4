"""A log followed over the Kubernetes API: every line once, in order, whatever the connection does."""

import asyncio
import gc
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from exporter.domain.units import Instant
from exporter.requests.arrival import Bounds
from exporter.requests.arrival.kubernetes.logs import KubernetesLogs
from exporter.requests.arrival.kubernetes.podlog import Asker, Pace, PodLog
from tests.requests.arrival.api_server import SECOND, START, Canned, Pod, status
from tests.requests.arrival.following import QUICK, Following, following, served

FORBIDDEN = Canned(
    403,
    status(
        403,
        "Forbidden",
        'pods "llm" is forbidden: User "system:serviceaccount:watch:exporter" cannot get resource "pods/log" '
        'in API group "" in the namespace "ml"',
    ),
)


def _problem(one: Following) -> str:
    return "; ".join(one.arrival.tally.problems.values())


# What comes


async def test_a_log_is_read_from_its_beginning_and_then_line_by_line() -> None:
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod()
        pod.write(START + 1, "a", "")
        pod.write(START + 5, "b")
        await one.until_lines(3)
        pod.write(START + 2 * SECOND, "c")
        await one.until_lines(4)
        assert one.texts == ["a", "", "b", "c"]
        assert len(server.asked) == 1
        assert one.arrival.tally.files == 1
        assert one.arrival.tally.problems == {}


async def test_a_log_that_is_followed_from_its_end_gives_what_comes_after() -> None:
    async with served() as server, following(server, start_at="end") as one:
        pod = server.pods["llm"] = Pod()
        pod.write(START, "old", "old")
        await one.until(lambda: server.streams == 1)
        pod.write(START + 1, "new")
        await one.until_lines(1)
        assert one.texts == ["new"]


async def test_an_empty_log_is_followed_from_its_end_to_its_first_line() -> None:
    async with served() as server, following(server, start_at="end") as one:
        pod = server.pods["llm"] = Pod()
        await one.until(lambda: server.streams == 1)
        pod.write(START, "first")
        await one.until_lines(1)
        assert one.texts == ["first"]


async def test_the_nodes_stamp_is_the_envelope_and_moves_with_the_wall_clock() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START + 250_000_000, b"x")])
        await one.poll()
        await one.until(lambda: one.arrival.tally.lag_bytes > 0 or bool(one.lines))
        lines = one.lines or one.arrival.poll(Instant(one.now), 10.0)
        offset = 0.0 if one.lines else 10.0
        assert [line.envelope for line in lines] == [pytest.approx(START / SECOND + 0.25 + offset, abs=1e-6)]
        assert lines[0].wall_offset == offset


async def test_while_the_wall_clock_is_being_set_lines_have_no_envelope() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"x")])
        lines: list[Any] = []
        while not lines:
            one.now += 0.1
            lines = one.arrival.poll(Instant(one.now), None)
            await asyncio.sleep(0.001)
        assert lines[0].envelope is None


async def test_lines_say_between_which_instants_they_came() -> None:
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod()
        pod.write(START, "backlog")
        await one.until_lines(1)
        assert one.lines[0].not_before == float("-inf")
        await one.until(lambda: one.arrival.caught_up_at == one.now)
        pod.write(START + SECOND, "live")
        await one.until_lines(2)
        live = one.lines[1]
        assert one.now - 3.0 < live.not_before < live.not_after == one.now


async def test_a_line_that_is_too_long_is_counted_once_however_often_it_comes() -> None:
    async with served() as server, following(server, bounds=Bounds(line_bytes=1000)) as one:
        pod = server.pods["llm"] = Pod()
        server.cuts.extend([1200, 1300])
        pod.write(START, "x" * 1000, "y" * 1001)
        await one.until(lambda: len(server.asked) >= 3)
        pod.write(START, "z")
        await one.until_lines(2)
        assert one.texts == ["x" * 1000, "z"]
        assert one.arrival.tally.dropped == {"line_too_long": 1}


async def test_a_huge_line_arrives_whole_from_a_slow_stream() -> None:
    async with served() as server, following(server) as one:
        server.piece = 4096
        server.pods["llm"] = Pod(log=[(START, b"x" * 900_000), (START, "ü".encode() * 9)])
        await one.until_lines(2)
        assert [len(text) for text in one.texts] == [900_000, 9]


async def test_a_backlog_is_read_in_bounded_pieces() -> None:
    bounds = Bounds(poll_bytes=64 * 1024, poll_lines=500)
    async with served() as server, following(server, bounds=bounds) as one:
        server.pods["llm"] = Pod(log=[(START + number, b"x" * 100) for number in range(20_000)])
        most = lag = 0
        while len(one.lines) < 20_000:
            before = len(one.lines)
            await one.poll()
            most, lag = max(most, len(one.lines) - before), max(lag, one.arrival.tally.lag_bytes)
        assert most < 1_500
        assert lag < 3 * 64 * 1024
        assert one.arrival.caught_up


async def test_bytes_that_are_no_text_are_replaced() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"a\xff\r"), (START, b"\x1b[0m")])
        await one.until_lines(2)
        assert one.texts == ["a\ufffd", "\x1b[0m"]


# What breaks


@pytest.mark.parametrize("cut", range(1, 75, 6))
async def test_a_stream_that_breaks_anywhere_loses_and_doubles_nothing(cut: int) -> None:
    async with served() as server, following(server) as one:
        server.cuts.append(cut)
        pod = server.pods["llm"] = Pod()
        pod.write(START, "a", "a")
        pod.write(START + 1, "bbbbb")
        await one.until_lines(3)
        pod.write(START + 1, "c")
        await one.until_lines(4)
        assert one.texts == ["a", "a", "bbbbb", "c"]
        assert one.arrival.tally.dropped == {}
        assert one.arrival.tally.rotations == 0


async def test_no_connection_is_a_problem_with_words_and_is_over_when_there_is_one() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"a")])
        port = server.port
        await server.stop()
        await one.until(lambda: _problem(one) != "")
        assert "no connection to the API server" in _problem(one)
        assert one.arrival.caught_up_at is None
        await server.start(port=port)
        await one.until_lines(1)
        await one.until(lambda: not one.arrival.tally.problems)
        assert one.texts == ["a"]


async def test_while_there_is_no_connection_nothing_is_known_of_the_time_since() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until(lambda: one.arrival.caught_up_at == one.now)
        await server.stop()
        await one.until(lambda: bool(one.arrival.tally.problems))
        known = one.arrival.caught_up_at
        await one.poll(20)
        assert one.arrival.caught_up_at == known


async def test_a_backlog_is_not_caught_up_before_it_is_read() -> None:
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod()
        pod.write(START, "old")
        await one.until_lines(1)
        assert one.arrival.caught_up_at is None
        pod.write(int(one.now + 60) * SECOND, "younger than the question")
        await one.until_lines(2)
        assert one.arrival.caught_up_at == one.now


async def test_a_pod_that_is_not_there_has_nothing_to_say() -> None:
    async with served() as server, following(server, start_at="end") as one:
        await one.until(lambda: one.arrival.caught_up_at is not None)
        assert "there is no such pod in namespace ml yet" in _problem(one)
        server.pods["llm"] = Pod(log=[(START, b"its first line is not old")])
        await one.until_lines(1)


async def test_a_container_that_has_not_started_is_waited_for_and_read_from_its_beginning() -> None:
    async with served() as server, following(server, start_at="end") as one:
        pod = server.pods["llm"] = Pod(waiting="PodInitializing")
        await one.until(lambda: "PodInitializing" in _problem(one))
        pod.waiting = None
        pod.write(START, "first")
        await one.until_lines(1)
        assert one.texts == ["first"]
        assert one.arrival.tally.problems == {}


async def test_of_several_containers_one_has_to_be_named() -> None:
    words = "a container name must be specified for pod llm, choose one of: [vllm exporter]"
    async with served() as server, following(server) as one:
        server.canned.extend([Canned(400, status(400, "BadRequest", words))] * 3)
        await one.until(lambda: "set `container` to one of vllm, exporter" in _problem(one))


async def test_the_container_that_is_configured_is_asked_for() -> None:
    async with served() as server, following(server, pod="llm", container="vllm") as one:
        server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until_lines(1)
        assert server.asked[0] == {"timestamps": "true", "follow": "true", "container": "vllm"}


async def test_a_missing_right_is_named_with_the_rule_that_gives_it() -> None:
    async with served() as server, following(server) as one:
        server.canned.extend([FORBIDDEN] * 3)
        await one.until(lambda: bool(_problem(one)))
        assert "service account exporter of namespace watch may not get pods/log (403)" in _problem(one)
        assert '{apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}' in _problem(one)
        assert "Role in namespace ml" in _problem(one)


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_server_that_is_busy_is_left_alone_and_asked_again(code: int) -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"a")])
        server.canned.extend([Canned(code, "no time", {"Retry-After": "0"})] * 3)
        await one.until_lines(1)
        assert len(server.asked) == 4


async def test_the_server_says_how_long_it_wants_to_be_left_alone() -> None:
    async with served() as server, following(server) as one:
        server.canned.append(Canned(429, "no time", {"Retry-After": "3600"}))
        await one.until(lambda: "the API server answers 429" in _problem(one))
        await one.poll(100)
        assert len(server.asked) == 1


async def test_something_that_is_no_api_server_is_said_to_be_none() -> None:
    async with served() as server, following(server) as one:
        server.canned.extend([Canned(302, "moved", {"Location": "http://127.0.0.1:9/"})] * 3)
        await one.until(lambda: "is `api` a Kubernetes API server?" in _problem(one))


async def test_a_log_that_is_not_kept_that_far_back_is_a_counted_loss_and_goes_on_with_what_is_there() -> None:
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod(log=[(START, b"a"), (START + SECOND, b"b")])
        server.cuts.append(64)
        server.canned.append(Canned(200, ""))
        await one.until_lines(2)
        server.canned.append(Canned(410, status(410, "Expired", "too old")))
        pod.stop()
        await one.until(lambda: "lines are lost" in _problem(one))
        pod.restart()
        pod.write(START + 9 * SECOND, "c")
        await one.until_lines(3)
        assert one.texts == ["a", "b", "c"]
        assert one.arrival.tally.dropped == {"gone": 1}
        await one.until(lambda: not _problem(one))


async def test_a_server_that_always_says_gone_is_not_asked_without_pause_nor_counted_again() -> None:
    async with served() as server, following(server) as one:
        server.canned.extend([Canned(410, status(410, "Expired", "too old"))] * 500)
        await one.poll(50)
        assert len(server.asked) < 100
        assert one.arrival.tally.dropped == {"gone": 1}


async def test_after_some_silence_the_question_is_asked_anew_and_nothing_comes_twice() -> None:
    pace = Pace(first=0.002, longest=0.02, silence=0.05, quiet=1.0)
    async with served() as server, following(server, pace=pace) as one:
        pod = server.pods["llm"] = Pod(log=[(START, b"a"), (START + 5 * SECOND + 7, b"b")], reopens=False)
        await one.until(lambda: len(server.asked) >= 3)
        pod.rotate()
        pod.write(START + 9 * SECOND, "after a rotation that the node did not notice")
        await one.until_lines(3)
        await one.poll(20)
        assert len(one.lines) == 3
        assert one.arrival.tally.rotations == 1
        assert one.arrival.tally.problems == {}
        assert server.asked[1]["sinceTime"] == "2026-01-01T12:00:04Z"


async def test_an_open_question_that_a_silent_node_does_not_answer_is_a_connection() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod()
        await one.until(lambda: one.arrival.caught_up_at == one.now)
        assert one.arrival.tally.files == 1


async def test_a_container_that_starts_anew_is_followed_on() -> None:
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until_lines(1)
        pod.stop()
        await one.until(lambda: len(server.asked) > 5)
        assert one.texts == ["a"]
        pod.restart()
        pod.write(START + SECOND, "b")
        await one.until_lines(2)
        assert one.texts == ["a", "b"]
        assert one.arrival.tally.rotations == 1


async def test_the_end_of_a_stream_says_up_to_when_everything_was_read() -> None:
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod(log=[(START, b"a")])
        pod.stop()
        await one.until(lambda: one.arrival.caught_up_at is not None)
        first = one.arrival.caught_up_at
        assert first is not None
        await one.until(lambda: (one.arrival.caught_up_at or 0.0) > first)
        assert one.texts == ["a"]


async def test_a_line_that_its_container_did_not_live_to_finish_is_counted() -> None:
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod(log=[(START, b"a"), (START + 1, b"never finished")])
        server.cuts.append(70)
        await one.until_lines(1)
        pod.log.pop()
        pod.restart()
        pod.write(START + SECOND, "b")
        await one.until_lines(2)
        assert one.texts == ["a", "b"]
        assert one.arrival.tally.dropped == {"truncated": 1}


async def test_words_of_the_node_in_place_of_a_log_are_a_problem_and_no_line() -> None:
    async with served() as server, following(server) as one:
        server.canned.extend([Canned(200, "unable to retrieve container logs for containerd://1")] * 3)
        await one.until(lambda: "the node answers without the log" in _problem(one))
        assert one.lines == []


# Rights


async def test_the_token_is_read_again_for_every_connection(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    async with served() as server, following(server, token_file=token) as one:
        server.tokens = {"one"}
        pod = server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until_lines(1)
        token.write_text("two")
        server.tokens = {"two"}
        pod.restart()
        pod.write(START + SECOND, "b")
        await one.until_lines(2)
        assert one.arrival.tally.problems == {}


async def test_a_token_that_runs_out_is_a_problem_until_it_is_replaced(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    async with served() as server, following(server, token_file=token) as one:
        server.tokens = {"new"}
        server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until(lambda: "does not accept our token (401)" in _problem(one))
        token.write_text("new")
        await one.until_lines(1)
        await one.until(lambda: not one.arrival.tally.problems)


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"two\nlines"])
async def test_a_token_that_is_none_is_a_problem_that_does_not_show_it(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    async with served() as server, following(server, token_file=token) as one:
        await one.until(lambda: "check `token_file`" in _problem(one))
        assert "lines" not in _problem(one)


# Across restarts


async def test_after_a_restart_every_line_of_the_time_between_is_read_once() -> None:
    async with served() as server, following(server, start_at="end") as one:
        pod = server.pods["llm"] = Pod(log=[(START, b"old")])
        await one.until(lambda: server.streams == 1)
        await one.poll(3)
        pod.write(START + 7, "a", "a")
        await one.until_lines(2)
        one.restart()
        pod.write(START + 7, "a")
        pod.write(START + 8, "b")
        await one.until_lines(4)
        assert one.texts == ["a", "a", "a", "b"]


async def test_a_snapshot_holds_no_text_of_the_log() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START + number, b"secret") for number in range(1000)])
        await one.until_lines(1000)
        saved = json.dumps(one.arrival.snapshot())
        assert "secret" not in saved
        assert len(saved) < 8192


async def test_what_was_not_returned_before_a_restart_is_returned_after_it() -> None:
    async with served() as server, following(server, bounds=Bounds(poll_lines=10)) as one:
        server.piece = 400
        server.pods["llm"] = Pod(log=[(START, str(number).encode()) for number in range(300)])
        await one.until_lines(20)
        one.restart()
        await one.until_lines(300)
        assert one.texts == [str(number) for number in range(300)]


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"of": 1, "pods": {}},
        {"of": ["ml", "llm", None, None], "begun": True, "pods": {"llm": {"seen": 3}}},
        {"pods": 1},
    ],
)
async def test_an_unusable_snapshot_is_as_good_as_none(saved: dict[str, Any]) -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"a")])
        one.arrival.restore(saved)
        await one.until_lines(1)


async def test_a_snapshot_of_another_pod_is_forgotten_and_counted() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until_lines(1)
        saved = one.arrival.snapshot()
        async with following(server, pod="other") as other:
            other.arrival.restore(saved)
            assert other.arrival.tally.forgotten == 1


async def test_who_never_reached_the_end_still_begins_there_after_a_restart() -> None:
    async with served() as server, following(server, start_at="end") as one:
        server.canned.extend([FORBIDDEN] * 2)
        pod = server.pods["llm"] = Pod(log=[(START, b"old")])
        await one.until(lambda: bool(_problem(one)))
        server.canned.clear()
        one.restart()
        await one.until(lambda: server.streams == 1)
        await one.poll(3)
        pod.write(START + 1, "new")
        await one.until_lines(1)
        assert one.texts == ["new"]


# Several pods


async def test_all_pods_that_a_selector_finds_are_followed_and_their_successors_too() -> None:
    async with served() as server, following(server, selector="app=llm") as one:
        server.pods["llm-a"] = Pod({"app": "llm"}, [(START, b"a1")])
        server.pods["llm-b"] = Pod({"app": "llm"}, [(START, b"b1")])
        server.pods["web"] = Pod({"app": "web"}, [(START, b"not ours")])
        await one.until_lines(2)
        assert sorted(one.texts) == ["a1", "b1"]
        server.pods["llm-a"].stop()
        del server.pods["llm-a"]
        server.pods["llm-c"] = Pod({"app": "llm"}, [(START + SECOND, b"c1")])
        await one.until_lines(3)
        server.pods["llm-b"].write(START + 2 * SECOND, "b2")
        await one.until_lines(4)
        assert one.texts[2:] == ["c1", "b2"]
        await one.until(lambda: one.arrival.tally.files == 2)
        await one.until(lambda: one.arrival.caught_up_at == one.now)
        assert one.arrival.tally.problems == {}


async def test_pods_found_at_first_begin_at_their_end_and_later_ones_at_their_beginning() -> None:
    async with served() as server, following(server, selector="app=llm", start_at="end") as one:
        server.pods["llm-a"] = Pod({"app": "llm"}, [(START, b"old")])
        await one.until(lambda: server.streams == 1)
        server.pods["llm-b"] = Pod({"app": "llm"}, [(START, b"new")])
        await one.until_lines(1)
        assert one.texts == ["new"]
        assert one.lines[0].not_before > one.now - 3600.0


async def test_one_pod_that_cannot_be_read_holds_back_what_is_known_of_all() -> None:
    async with served() as server, following(server, selector="app=llm") as one:
        server.canned.extend([FORBIDDEN] * 1000)
        server.pods["llm-a"] = Pod({"app": "llm"}, [(START, b"a")])
        await one.until(lambda: bool(_problem(one)))
        await one.poll(20)
        assert one.arrival.caught_up_at is None
        server.canned.clear()
        await one.until(lambda: one.arrival.caught_up_at == one.now)


async def test_pods_on_other_nodes_are_not_followed_where_one_node_is_named() -> None:
    async with served() as server, following(server, selector="app=llm", node="node-b") as one:
        server.pods["llm-a"] = Pod({"app": "llm"}, [(START, b"a1")])
        server.pods["llm-b"] = Pod({"app": "llm"}, [(START, b"b1")], node="node-b")
        await one.until_lines(1)
        await one.until(lambda: server.lists >= 3)
        assert one.texts == ["b1"]


async def test_where_a_selector_finds_nothing_nothing_is_said() -> None:
    async with served() as server, following(server, selector="app=llm") as one:
        await one.until(lambda: server.lists >= 3)
        await one.until(lambda: one.arrival.caught_up_at is not None)
        assert one.lines == []


async def test_the_right_to_list_pods_is_asked_for_by_its_rule() -> None:
    words = 'pods is forbidden: User "system:serviceaccount:ml:exporter" cannot list resource "pods" in API group ""'
    async with served() as server, following(server, selector="app=llm") as one:
        server.canned_lists.extend([Canned(403, status(403, "Forbidden", words))] * 1000)
        await one.until(lambda: 'resources: ["pods"], verbs: ["list"]' in _problem(one))
        assert one.arrival.caught_up_at is None
        server.canned_lists.clear()
        await one.until(lambda: not _problem(one))


async def test_a_list_that_is_none_is_a_problem_and_no_crash() -> None:
    async with served() as server, following(server, selector="app=llm") as one:
        server.canned_lists.extend(
            [Canned(200, "<html>"), Canned(200, '{"items": [1]}'), Canned(200, "[" * 100_000)] * 9
        )
        await one.until(lambda: server.lists > 4 and bool(_problem(one)))


async def test_no_more_pods_are_followed_than_agreed() -> None:
    async with served() as server, following(server, selector="app=llm", bounds=Bounds(files=2)) as one:
        for name in ("llm-a", "llm-b", "llm-c"):
            server.pods[name] = Pod({"app": "llm"}, [(START, name.encode())])
        await one.until(lambda: "more than 2 pods" in _problem(one))
        await one.until_lines(2)
        await one.poll(20)
        assert sorted(one.texts) == ["llm-a", "llm-b"]
        server.pods.pop("llm-a").stop()
        await one.until_lines(3)
        await one.until(lambda: not _problem(one))


async def test_after_a_restart_each_pod_goes_on_where_it_was_and_lost_ones_are_counted() -> None:
    async with served() as server, following(server, selector="app=llm") as one:
        for name in ("llm-a", "llm-b"):
            server.pods[name] = Pod({"app": "llm"}, [(START, name.encode())])
        await one.until_lines(2)
        one.restart()
        server.pods.pop("llm-b").stop()
        server.pods["llm-a"].write(START, "more")
        await one.until_lines(3)
        await one.poll(20)
        assert one.texts[2:] == ["more"]
        assert one.arrival.tally.forgotten == 1


# The end


async def test_closing_leaves_nothing_open_and_may_be_done_twice() -> None:
    async with served() as server:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            server.pods["llm"] = Pod(log=[(START, b"a")])
            one = Following(server.settings(pod="llm"))
            await one.until_lines(1)
            one.arrival.close()
            one.arrival.close()
            assert one.arrival.poll(Instant(one.now), 0.0) == []
            for _ in range(100):
                await asyncio.sleep(0.001)
                if server.streams == 0:
                    break
            assert server.streams == 0
            gc.collect()
        assert [str(warning.message) for warning in caught] == []


def test_closing_when_the_loop_is_gone_is_no_error() -> None:
    opened: list[KubernetesLogs] = []

    async def run() -> None:
        async with served() as server:
            server.pods["llm"] = Pod(log=[(START, b"a")])
            one = Following(server.settings(pod="llm"))
            opened.append(one.arrival)
            await one.until_lines(1)

    asyncio.run(run())
    opened[0].close()
    gc.collect()


async def test_a_loop_that_goes_down_is_no_fault_of_the_log() -> None:
    async with served() as server, following(server) as one:
        server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until_lines(1)
        task = one.arrival._task
        assert task is not None
        task.cancel()
        await asyncio.sleep(0.01)
        await one.poll(3)


async def test_a_bug_of_ours_is_told_to_whoever_polls_and_the_log_is_followed_again() -> None:
    async with served() as server, following(server, pace=Pace(longest=0.5, quiet=1.0)) as one:
        pod = server.pods["llm"] = Pod(log=[(START, b"a")])
        await one.until_lines(1)

        async def broken() -> None:
            raise AssertionError("a bug")

        one.arrival._task.cancel()  # type: ignore[union-attr]
        one.arrival._task = asyncio.get_running_loop().create_task(broken())
        await asyncio.sleep(0.01)
        with pytest.raises(AssertionError, match="a bug"):
            await one.poll()
        pod.write(START + 1, "b")
        await one.until_lines(2)
        assert one.texts == ["a", "b"]


def test_waits_double_up_to_the_longest_and_are_blurred() -> None:
    pace = Pace(first=1.0, longest=8.0, random=iter([0.0, 1.0, 0.5, 0.0, 1.0]).__next__)
    log = PodLog(Asker(None, None, Bounds(), pace), "llm", begin="end", now=Instant(0.0))  # type: ignore[arg-type]
    assert [log._pause(None) for _ in range(5)] == [0.5, 2.0, 3.0, 4.0, 8.0]
    assert QUICK.random() == 0.5
