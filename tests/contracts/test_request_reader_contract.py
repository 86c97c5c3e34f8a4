"""Every request reader, found through the registry, keeps the contract."""

import json
import re
from collections.abc import Callable
from math import inf, isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.errors import ConfigError
from exporter.domain.events import Dropped, Heard, Ignored, Used
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.fronts.profiles import PROFILES
from exporter.requests.reader import RequestReader
from exporter.requests.registry import READERS
from tests.requests.replay import ALL_LOGS, Log, feed, live, texts

OPTIONS: dict[str, tuple[dict[str, object], ...]] = {
    "jsonl": tuple({"profile": name} for name in PROFILES),
    "combined": ({}, {"fields": ["%D", "msec", "request_id"], "stamp": "end"}),
    "haproxy": ({}, {"captures": ["request_id", "trace_id"]}),
    "ray": ({}, {"routes": ["/v1"]}),
}
CASES = [(name, options) for name in READERS for options in OPTIONS.get(name, ({},))]
NOW = 1795234621.0

every_reader = pytest.mark.parametrize(("name", "options"), CASES, ids=str)


def _lines(name: str) -> list[str]:
    return [text for log in ALL_LOGS if log.kind == name for text in texts(log)[::7]]


def _mangled(name: str) -> st.SearchStrategy[str]:
    """Text that looks like the server's: real lines, cut, joined and spiced."""
    real = st.sampled_from(_lines(name))
    cut = st.tuples(real, st.integers(0, 200), real).map(lambda parts: parts[0][: parts[1]] + parts[2][parts[1] :])
    digits = st.tuples(real, st.text("0123456789.-e", max_size=30)).map(
        lambda parts: re.sub(r"\d+", parts[1].replace("\\", ""), parts[0], count=4)
    )
    spice = st.text(st.characters(), max_size=40)
    return st.one_of(real, cut, digits, spice, st.tuples(cut, spice).map("".join))


_STREAMS = {name: st.lists(_mangled(name), max_size=30) for name in READERS}
_windows = st.tuples(
    st.sampled_from([-inf, NOW - 1.0, NOW - 0.1, NOW + 5.0]),
    st.sampled_from([None, 0.0, -3600.0]),
    st.sampled_from([None, NOW]),
)


@every_reader
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_reader_never_raises_and_tells_only_finite_instants(
    name: str, options: dict[str, object], data: st.DataObject
) -> None:
    reader = READERS[name].build(options, "UTC")
    for text in data.draw(_STREAMS[name]):
        before, offset, envelope = data.draw(_windows)
        heard = reader.feed(
            Line(text, Instant(before), Instant(NOW), offset, None if envelope is None else Instant(envelope))
        )
        assert isinstance(heard, Used | Ignored | Dropped)
        if isinstance(heard, Used):
            for event in heard.events:
                times = [getattr(event, key) for key in ("at", "start", "end", "uncertainty") if hasattr(event, key)]
                assert all(isfinite(at) for at in times)


@every_reader
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 1000,
        "\ud800 lone \udfff",
        "{" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000,
        "x" * (1 << 20),
        '{"message": "' + "y" * (1 << 20),
        "\x1b[" * 50_000,
        '{"msec":1e999,"request_time":NaN,"time":1' + "0" * 5000 + "}",
        '{"message": [], "name": {}, "type": null, "status": true, "msec": -Infinity}',
        "Received request " + "a" * (1 << 20),
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_absurd_lines_say_nothing(name: str, options: dict[str, object], text: str) -> None:
    heard = READERS[name].build(options, "UTC").feed(Line(text, Instant(NOW - 1), Instant(NOW)))
    assert isinstance(heard, Ignored | Dropped)


def _replayed(log: Log, cut: int) -> list[Heard]:
    """The log, with the reader replaced at the cut by one restored from its snapshot, as JSON keeps it."""
    lines, reader, successor = live(log), log.reader(), log.reader()
    heard = feed(reader, lines[:cut])
    successor.restore(json.loads(json.dumps(reader.snapshot())))
    return heard + feed(successor, lines[cut:])


@pytest.mark.parametrize("log", ALL_LOGS, ids=lambda log: log.name)
def test_a_restart_in_the_middle_changes_nothing(log: Log) -> None:
    through = feed(log.reader(), live(log))
    size = len(through)
    for cut in sorted({size // 7, size // 3, size // 2, size * 3 // 4, size - 2} & set(range(size))):
        assert _replayed(log, cut) == through, f"cut at line {cut}"


@every_reader
@pytest.mark.parametrize("snapshot", [{}, {"open": 3}, {"servers": [{}]}, {"anchors": 1}, {"nameless": "x"}], ids=str)
def test_an_unusable_snapshot_is_as_good_as_none(
    name: str, options: dict[str, object], snapshot: dict[str, object]
) -> None:
    reader, untouched = READERS[name].build(options, "UTC"), READERS[name].build(options, "UTC")
    reader.restore(snapshot)
    assert reader.snapshot() == untouched.snapshot()


FLOODS: dict[str, Callable[[int], str]] = {
    "vllm": lambda n: f"INFO 11-21 04:17:01 [logger.py:40] Received request id-{n}: prompt: 'x', params: p",
    "llamacpp": lambda n: f"slot launch_slot_: id {n} | task {n} | processing task",
    "sglang": lambda n: f"[2026-11-21 04:17:01] Receive: obj=GenerateReqInput(rid='{n}')",
    "lmdeploy": lambda n: (
        f"2026-11-21 04:17:01,000 - lmdeploy - INFO - a.py:1 - session={n}, input_tokens=1, max_new_tokens=1, prep=True"
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_requests_that_never_end_do_not_fill_the_memory(name: str) -> None:
    reader = READERS[name].build({}, "UTC")
    _flood(reader, FLOODS[name], 66_000)
    held = json.dumps(reader.snapshot()).count("\n") + len(_ids(reader))
    assert held <= 65_536


def _flood(reader: RequestReader, text: Callable[[int], str], number: int) -> None:
    for n in range(number):
        reader.feed(Line(text(n), Instant(NOW - 0.1), Instant(NOW)))


def _ids(reader: RequestReader) -> list[str]:
    snapshot = reader.snapshot()
    return list(snapshot["open"] if "open" in snapshot else snapshot["servers"][0]["tasks"])


@pytest.mark.parametrize("name", READERS)
def test_a_reader_says_in_words_what_it_knows_and_what_would_tell_more(name: str) -> None:
    kind = READERS[name]
    assert kind.name == name
    assert set(kind.knows) == {"start", "first_token", "end", "tokens", "clock"}
    assert kind.advice


@every_reader
def test_an_unknown_option_or_time_zone_is_named(name: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as unknown:
        READERS[name].build({**options, "colour": "blue"}, None)
    assert unknown.value.path == "options.colour"
    with pytest.raises(ConfigError) as nowhere:
        READERS[name].build(options, "Mars/Olympus_Mons")
    assert nowhere.value.path == "timezone"
