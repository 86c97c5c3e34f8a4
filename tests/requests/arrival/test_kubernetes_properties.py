"""However a stream is chopped, cut and followed again: every line once, in order."""

import asyncio
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from exporter.requests.arrival.kubernetes.stamped import Mark, StampedLines
from tests.requests.arrival.api_server import SECOND, START, Pod, stamp_text
from tests.requests.arrival.following import following, served

STEPS = st.sampled_from([0, 0, 1, 1, 999, 300_000_000, SECOND, -40, -2000])
"""Between two stamps: often none, sometimes back by what two threads of a runtime may be out of step."""

TEXTS = st.one_of(st.just(""), st.text("a é\t{}\"'", max_size=30), st.just("2026-01-01T12:00:00.000000000Z stdout F x"))
LINES = st.lists(st.tuples(STEPS, TEXTS), max_size=12)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), LINES),
        st.tuples(st.just("cut"), st.integers(1, 900)),
        st.tuples(st.just("piece"), st.integers(1, 200)),
        st.tuples(st.just("poll"), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("container"), st.none()),
    ),
    max_size=12,
)


async def _told(actions: list[tuple[str, Any]]) -> tuple[list[str], list[str], dict[str, int]]:
    written: list[str] = []
    now = START
    async with served() as server, following(server) as one:
        pod = server.pods["llm"] = Pod()
        for action, value in actions:
            if action == "write":
                for step, text in value:
                    now += step
                    written.append(f"{len(written)}{text}")
                    pod.write(now, written[-1])
            elif action == "cut":
                server.cuts.append(value)
            elif action == "piece":
                server.piece = value
            elif action == "poll":
                await one.poll(value)
            elif action == "restart":
                one.restart()
            else:
                await one.until_lines(len(written))  # what nobody read before a container is replaced is lost
                now += SECOND
                pod.restart()
        await one.until_lines(len(written))
        await one.poll(3)
        return written, one.texts, dict(one.arrival.tally.dropped)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_a_log_followed_through_anything_gives_each_line_once_in_order(actions: list[tuple[str, Any]]) -> None:
    written, read, dropped = asyncio.run(_told(actions))
    assert read == written
    assert dropped == {}


def _bytes(stamps: list[int], texts: list[str]) -> bytes:
    lines = zip(stamps, texts, strict=True)
    return b"".join(f"{stamp_text(stamp)} {text}\n".encode() for stamp, text in lines)


@st.composite
def _logs(draw: st.DrawFn) -> tuple[list[int], list[str]]:
    now = START
    stamps: list[int] = []
    texts: list[str] = []
    for step, text in draw(st.lists(st.tuples(STEPS, TEXTS), min_size=1, max_size=200)):
        now += step
        stamps.append(now)
        texts.append(f"{len(texts)}{text}")
    return stamps, texts


@settings(deadline=None, max_examples=50)
@given(_logs(), st.data())
def test_every_break_is_bridged_by_the_mark_alone(log: tuple[list[int], list[str]], data: st.DataObject) -> None:
    stamps, texts = log
    lines = StampedLines(1000)
    read: list[str] = []
    for _ in range(data.draw(st.integers(0, 6))):
        lines = StampedLines(1000, Mark.read(lines.mark.json()))
        read += _one_stream(lines, stamps, texts, data)
    lines.connect()
    read += [line.text for line in lines.feed(_served(lines, stamps, texts))]
    assert read == texts
    assert lines.dropped == {}


def _served(lines: StampedLines, stamps: list[int], texts: list[str]) -> bytes:
    since = lines.mark.since
    kept = [n for n, stamp in enumerate(stamps) if since is None or stamp_text(stamp)[:19] + "Z" >= since]
    return _bytes([stamps[n] for n in kept], [texts[n] for n in kept])


def _one_stream(lines: StampedLines, stamps: list[int], texts: list[str], data: st.DataObject) -> list[str]:
    stream = _served(lines, stamps, texts)
    stream = stream[: data.draw(st.integers(0, len(stream)))]
    lines.connect()
    at = 0
    read: list[str] = []
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream)))
        read += [line.text for line in lines.feed(stream[at : at + size])]
        at += size
    return read


@settings(deadline=None)
@given(st.lists(st.binary(max_size=80)), st.integers(1, 40))
def test_no_bytes_raise_and_memory_is_bounded(pieces: list[bytes], longest: int) -> None:
    lines = StampedLines(longest)
    lines.connect()
    for piece in pieces:
        assert all(len(line.text.encode()) <= 3 * longest for line in lines.feed(piece))
        assert len(lines.half) <= 64
        assert lines._size <= longest + 64 or lines._too_long
        assert sum(map(len, lines._parts)) <= longest + 64


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(), st.integers())), st.integers() | st.none(), st.integers() | st.none())
def test_no_mark_that_can_be_read_raises_later(
    seen: list[tuple[int, int]], floor: int | None, last: int | None
) -> None:
    try:
        mark = Mark.read({"floor": floor, "last": last, "seen": seen})
    except ValueError:
        return
    assert mark.since is None or mark.since.endswith("Z")
    lines = StampedLines(100, mark)
    lines.connect()
    lines.feed(b"2026-01-01T12:00:00Z a\n")
    mark.json()
