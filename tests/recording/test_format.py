"""The lines themselves: what is shipped is read for ever, so their form is pinned."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.domain.errors import RecordingError
from exporter.domain.events import Completed, Counted, Ended, FirstToken, ServerRestarted, Started
from exporter.domain.gauges import Gauge
from exporter.domain.readings import CounterReading, PowerReading, ReadFailure
from exporter.domain.units import Instant, Joules, Watts, later
from exporter.recording.entries import Advance, Entry, Finish, Gauged, News, Readings, Restored
from exporter.recording.recorder import header
from exporter.recording.recording import Recording
from exporter.recording.writing import Writer
from tests.properties.tales import BEGIN, DEVICES, a_pipeline
from tests.recording.recorded import lines, recorded, write_lines

HEADER = header(a_pipeline().settings, DEVICES, BEGIN, {})
QUARTER = later(BEGIN, 0.25)
TOLD: list[tuple[Entry, list[str]]] = [
    (
        Restored({"pipeline": b"{}", "page|0": b"\x00\xff"}),
        ['["kept","pipeline","e30="]', '["kept","page|0","AP8="]', '["restored"]'],
    ),
    (
        Readings(
            (
                CounterReading("gpu0", QUARTER, Joules(1234.567)),
                PowerReading("gpu1", QUARTER, Watts(0.1 + 0.2)),
                ReadFailure("cpu0", BEGIN, "timeout"),
            )
        ),
        ['["readings",0,1048576,1234.567,4,1048576,0.30000000000000004,8,0,"timeout"]'],
    ),
    (News("chat", Started("a", QUARTER), QUARTER), ['["started",0,1048576,"a",1048576]']),
    (News("code", Started("a", QUARTER, 0.5, "m", 7), None), ['["started",1,null,"a",1048576,0.5,"m",7]']),
    (News("chat", FirstToken("a", QUARTER), QUARTER), ['["first_token",0,1048576,"a",1048576]']),
    (
        News("chat", Ended("a", QUARTER, outcome="aborted", closing="abort", output_tokens=9), QUARTER),
        ['["ended",0,1048576,"a",1048576,0.0,"aborted","abort",null,null,null,9]'],
    ),
    (
        News("chat", Completed("b", BEGIN, QUARTER, first_token=QUARTER), QUARTER),
        ['["completed",0,1048576,"b",0,1048576,0.0,0.0,1048576]'],
    ),
    (News("chat", Counted(QUARTER, "error"), QUARTER), ['["counted",0,1048576,1048576,"error"]']),
    (News("chat", ServerRestarted(Instant(5.5)), QUARTER), ['["restarted",0,1048576,-7529759724535808]']),
    (Gauged("code", Gauge(QUARTER, 0.005, 3.0, 0.0)), ['["gauge",1,1048576,0.005,3.0,0.0]']),
    (Gauged("chat", Gauge(QUARTER, output_tokens=7.0)), ['["gauge",0,1048576,0.0,null,null,null,7.0]']),
    (Advance(later(BEGIN, 1.0), {"chat": QUARTER, "code": later(BEGIN, 1.0)}), ['["advance",4194304,0,-3145728,1,0]']),
    (News("chat", Counted(later(BEGIN, 1.5)), later(BEGIN, 1.5)), ['["counted",0,2097152,2097152]']),
    (Finish(later(BEGIN, 2.0)), ['["finish",4194304]']),
]


def read_back(path: Path) -> list[Entry]:
    with Recording(path) as recording:
        return list(recording.entries())


def session(path: Path) -> list[str]:
    """A small good recording, as lines."""
    with recorded(path) as pipeline:
        pipeline.receive_reading(CounterReading("gpu0", QUARTER, Joules(1.0)))
        pipeline.receive_event("chat", Started("a", QUARTER), QUARTER)
        pipeline.receive_progress("chat", QUARTER)
        pipeline.advance(later(BEGIN, 1.0))
        pipeline.advance(later(BEGIN, 2.0))
    return lines(path)


def test_every_entry_has_the_lines_that_were_agreed() -> None:
    writer = Writer(HEADER)
    assert [(entry, list(writer.lines([entry]))) for entry, _ in TOLD] == TOLD


def test_every_entry_reads_back_as_itself(tmp_path: Path) -> None:
    texts = session(tmp_path / "r")
    told = [text for _, written in TOLD for text in written]
    write_lines(tmp_path / "r", [texts[0], *told, f'["end",{len(told) + 1}]'])
    assert read_back(tmp_path / "r") == [entry for entry, _ in TOLD]


def test_readings_that_follow_each_other_share_a_line_but_for_very_many() -> None:
    readings = [PowerReading("gpu0", BEGIN, Watts(float(number))) for number in range(2_500)]
    written = [json.loads(line) for line in Writer(HEADER).lines([*readings, Advance(BEGIN)])]
    assert [(line[0], len(line)) for line in written] == [
        ("readings", 3001),
        ("readings", 3001),
        ("readings", 1501),
        ("advance", 2),
    ]


def test_the_header_says_what_a_replay_needs_and_nothing_of_the_machines_paths(tmp_path: Path) -> None:
    head = json.loads(session(tmp_path / "r")[0])
    assert (head["format"], head["version"], head["begin"]) == ("llm-energy-exporter recording", 1, BEGIN)
    assert head["settings"]["state_dir"] is None
    assert [[each["path"] for each in server["requests"]] for server in head["settings"]["servers"]] == [[[]], [[]]]


def fails(path: Path, texts: list[str], *said: str) -> None:
    write_lines(path, texts)
    with pytest.raises(RecordingError) as raised:
        read_back(path)
    assert str(path) in str(raised.value)
    for words in said:
        assert words in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "null",
        "nonsense",
        '["later",1]',
        '["readings",0,1]',
        '["readings",0,1,"joules"]',
        '["readings",0,null,1.0]',
        '["readings",99,1,1.0]',
        '["readings",-1,1,1.0]',
        '["readings",0.0,1,1.0]',
        '["readings",2,1,1.0]',
        '["started",0,1]',
        '["started",0,1,"a"]',
        '["started",7,1,"a",1]',
        '["started",true,1,"a",1]',
        '["started",0,1,5,1]',
        '["started",0,1,"a","soon"]',
        '["started",0,1,"a",1,0.0,null,null,null,null,"more"]',
        '["ended",0,1,"a",1,0.0,"well"]',
        '["ended",0,1,"a",1,0.0,"ok","finish",null,"many"]',
        '["advance"]',
        '["advance",1,0]',
        '["advance",1,9,1]',
        '["kept","a","%"]',
        '["end"]',
    ],
)
def test_a_garbled_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    texts = session(tmp_path / "r")
    fails(tmp_path / "r", [*texts[:3], line, *texts[3:]], "line 4")


def test_a_file_of_another_kind_is_said_to_be_none(tmp_path: Path) -> None:
    fails(tmp_path / "r", ["hello"], "no recording of llm-energy-exporter")
    fails(tmp_path / "r", ['{"format":"something else"}'], "no recording of llm-energy-exporter")
    (tmp_path / "plain").write_text("hello")
    with pytest.raises(RecordingError, match="no recording"):
        Recording(tmp_path / "plain")
    (tmp_path / "empty").touch()
    with pytest.raises(RecordingError, match="no recording"):
        Recording(tmp_path / "empty")
    with pytest.raises(RecordingError, match="cannot be read: No such file"):
        Recording(tmp_path / "none")


def changed(text: str, **changes: Any) -> str:
    return json.dumps(json.loads(text) | changes)


def test_a_newer_recording_says_which_version_reads_it(tmp_path: Path) -> None:
    texts = session(tmp_path / "r")
    fails(tmp_path / "r", [changed(texts[0], version=2, exporter="9.1"), *texts[1:]], "format 2", "'9.1'")


def test_a_header_that_says_the_impossible_is_named_with_the_place(tmp_path: Path) -> None:
    texts = session(tmp_path / "r")
    fails(tmp_path / "r", [changed(texts[0], devices=[{"name": "gpu0"}]), *texts[1:]], "line 1", "devices[0].kind")
    fails(tmp_path / "r", [changed(texts[0], colour="red"), *texts[1:]], "line 1", "colour: is unknown")


def test_what_follows_the_end_or_is_missing_before_it_is_an_error(tmp_path: Path) -> None:
    texts = session(tmp_path / "r")
    fails(tmp_path / "r", [*texts, texts[1]], "something follows the end")
    fails(tmp_path / "r", [*texts[:2], *texts[3:]], f"{len(texts) - 1} lines should stand before the last")


def test_damage_is_an_error_that_names_the_last_good_line(tmp_path: Path) -> None:
    path = tmp_path / "r"
    session(path)
    data = bytearray(path.read_bytes())
    data[-30] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"r, after line [0-9]+: the file is damaged here"):
        read_back(path)


def test_a_recording_cut_anywhere_is_read_up_to_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with recorded(path) as pipeline:
        for tenth in range(600):
            pipeline.receive_reading(CounterReading("gpu0", later(BEGIN, tenth / 10), Joules((tenth * 7919) ** 0.5)))
            pipeline.advance(later(BEGIN, tenth / 10))
    whole, data = read_back(path), path.read_bytes()
    lengths = []
    for cut in range(1_200, len(data) - 20, 37):
        path.write_bytes(data[:cut])
        with Recording(path) as recording:
            entries = list(recording.entries())
            assert entries == whole[: len(entries)]
            assert "was cut off after line" in recording.cut
        lengths.append(len(entries))
    assert lengths == sorted(lengths)
    assert lengths[0] < 100
    assert lengths[-1] > 300


def test_a_recording_cut_before_its_first_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r"
    session(path)
    path.write_bytes(path.read_bytes()[:12])
    with pytest.raises(RecordingError, match="cut off before it began"):
        Recording(path)
