"""The command: what it prints and writes, from a recording of a simulated run and from one of the real demo."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.cli import main
from exporter.domain.settings import ScoringSettings, Settings
from exporter.domain.units import Instant
from exporter.pipeline.pipeline import Pipeline
from exporter.replay import ReplayOptions, replay, run
from exporter.replay.progress import Progress
from exporter.simulate.load import MIXED
from tests.pipeline.telling import counters, gpus, hear, settings, tell
from tests.recording.recorded import lines, recorded, write_lines
from tests.simulation.hearing import events
from tests.simulation.scenarios import Scenario, poisson_run

SETTINGS: Settings = replace(settings(), scoring=ScoringSettings(5.0))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of a SIMULATED server on two GPUs."""
    path = tmp_path_factory.mktemp("recording") / "r.jsonl.gz"
    simulated = poisson_run(Scenario(mix=MIXED), np.random.default_rng(3), rate=3.0, seconds=120.0)
    with recorded(path, SETTINGS, gpus(1), simulated.begin) as pipeline:
        end = Instant(simulated.end + 10.0)
        tell(pipeline, counters(simulated), hear(events(simulated)), begin=simulated.begin, end=end, tick_seconds=1.0)
    return path


def quiet() -> Progress:
    return Progress(io.StringIO())


def printed(path: Path, options: ReplayOptions | None = None) -> str:
    out = io.StringIO()
    assert run(path, options or ReplayOptions(), out) == 0
    return out.getvalue()


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_books_balance_for_every_policy(recording: Path, tmp_path: Path) -> None:
    replay(recording, ReplayOptions(compare=True, folders={"csv": tmp_path}), quiet())
    books = rows(tmp_path / "books.csv")
    assert [row["policy"] for row in books] == ["steps", "time", "tokens"]
    for row in books:
        parts = sum(float(row[f"{part}_joules"]) for part in ("requests", "idle", "unattributed", "unsettled"))
        assert parts == pytest.approx(float(row["metered_joules"]), rel=1e-9)
        assert float(row["requests_joules"]) > 0.0


def test_every_settled_request_is_exported_under_every_policy_and_not_only_the_latest(
    recording: Path, tmp_path: Path
) -> None:
    result = replay(recording, ReplayOptions(compare=True, folders={"csv": tmp_path}), quiet())
    exported = rows(tmp_path / "requests.csv")
    served = sum(sum(model.requests.values()) for model in result.snapshot.models)
    assert served > 256
    for policy in ("time", "tokens", "steps"):
        mine = [row for row in exported if row["policy"] == policy]
        assert len({row["id"] for row in mine}) == len(mine) == served
    steps = [float(row["joules"]) for row in exported if row["policy"] == "steps"]
    booked = sum(view.booked["requests"] for view in result.snapshot.devices)
    assert sum(steps) == pytest.approx(booked, rel=1e-9)


def test_csv_keeps_every_digit_and_leaves_out_what_is_not_known(recording: Path, tmp_path: Path) -> None:
    result = replay(recording, ReplayOptions(folders={"csv": tmp_path}), quiet())
    by_id = {row["id"]: row for row in rows(tmp_path / "requests.csv")}
    for one in result.snapshot.recent:
        row = by_id[one.id]
        assert (float(row["joules"]), float(row["start_seconds"])) == (one.joules, one.start)
        assert float(row["gpu0_joules"]) == one.joules_by_device["gpu0"]
        assert row["output_tokens"] == str(one.output_tokens)
        predicted = {name: row[f"predicted_{name}_joules"] for name in SETTINGS.proxies}
        assert {name: float(text) for name, text in predicted.items() if text} == one.predicted
        assert row["low_joules"] == ""


def test_parquet_holds_what_csv_holds(recording: Path, tmp_path: Path) -> None:
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    replay(recording, ReplayOptions(compare=True, folders={"csv": tmp_path, "parquet": tmp_path}), quiet())
    for table in ("requests", "books", "scores"):
        columns = pyarrow.parquet.read_table(tmp_path / f"{table}.parquet").to_pylist()
        texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in columns]
        assert texts == rows(tmp_path / f"{table}.csv")


def test_parquet_without_its_library_names_the_extra(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["replay", str(recording), "--parquet", str(tmp_path / "out")]) == 2
    assert "pip install 'llm-energy-exporter[parquet]'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_an_error(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["replay", str(recording), "--csv", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_policies_and_proxies_stand_side_by_side(recording: Path) -> None:
    text = printed(recording, ReplayOptions(compare=True))
    words = [" ".join(line.split()[:2]) for line in text.splitlines()]
    shares = words[words.index("of all") + 1 :]
    expected = ["policy time", "policy tokens", *(f"proxy {name}" for name in SETTINGS.proxies)]
    assert shares[: len(expected)] == expected
    assert "steps (recorded)" in text
    assert "windows of 5 s: metered" in text


def test_proxies_are_scored_as_live(recording: Path) -> None:
    standings = replay(recording, ReplayOptions(), quiet()).standings
    samples = {one.ground: one.samples for one in standings if one.name == "time_share"}
    assert samples["request"] > 200
    assert samples["window"] > 10


def test_only_the_chosen_proxies_run(recording: Path) -> None:
    result = replay(recording, ReplayOptions(proxies=("time", "peak")), quiet())
    assert {view.proxy for view in result.snapshot.proxies} == {"time", "peak"}


def test_a_policy_to_try_makes_the_books_and_is_held_against_the_recorded_one(recording: Path) -> None:
    result = replay(recording, ReplayOptions(policies=["tokens"]), quiet())
    recorded_one, tried = result.policies
    assert (result.policy, recorded_one.policy, tried.policy) == ("tokens", "steps", "tokens")
    assert recorded_one.recorded
    assert recorded_one.moved_share == 0.0
    assert 0.01 < tried.moved_share < 0.5
    assert tried.joules == pytest.approx(recorded_one.joules, rel=1e-6)
    assert tried.in_force > 0.9 * tried.requests


def test_json_says_the_same_and_is_json(recording: Path) -> None:
    said: dict[str, Any] = json.loads(
        printed(recording, ReplayOptions(compare=True, json=True)), parse_constant=pytest.fail
    )
    assert [one["policy"] for one in said["policies"]] == ["steps", "time", "tokens"]
    assert said["recording"]["complete"] is True
    assert said["devices"][0]["booked"].keys() == {"requests", "idle", "unattributed"}
    assert {one["proxy"] for one in said["proxies"]} == set(SETTINGS.proxies)


def test_books_left_open_are_those_that_stood_when_the_recording_ended(recording: Path) -> None:
    [left] = replay(recording, ReplayOptions(leave_open=True), quiet()).snapshot.devices
    [closed] = replay(recording, ReplayOptions(), quiet()).snapshot.devices
    assert left.unsettled_joules > 100.0 > closed.unsettled_joules
    assert left.metered_joules == closed.metered_joules


def test_a_cut_recording_is_replayed_to_the_cut_and_says_so(recording: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(recording.read_bytes()[:-3000])
    assert "! " + str(cut) + " was cut off after line" in printed(cut)
    assert json.loads(printed(cut, ReplayOptions(json=True)))["recording"]["complete"] is False


def test_a_file_that_is_no_recording_fails_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("no recording")
    assert main(["replay", str(tmp_path / "log")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_another_versions_recording_says_that_figures_may_differ(recording: Path, tmp_path: Path) -> None:
    texts = lines(recording)
    write_lines(tmp_path / "r", [json.dumps(json.loads(texts[0]) | {"exporter": "0.0.1"}), *texts[1:]])
    assert "Recorded by version 0.0.1" in printed(tmp_path / "r")


def test_simulated_and_estimated_energy_is_labelled(recording: Path, tmp_path: Path) -> None:
    texts = lines(recording)
    head = json.loads(texts[0])
    head["devices"][0]["method"] = "simulated"
    write_lines(tmp_path / "r", [json.dumps(head), *texts[1:]])
    text = printed(tmp_path / "r")
    assert "gpu0 SIMULATED" in text
    assert "of windows of 5 s: simulated" in text
    assert "windows of 5 s: metered" not in text


def test_a_bug_in_the_pipeline_is_counted_and_replaying_goes_on(
    recording: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = Pipeline.receive_event
    calls = iter(range(10**9))

    def sometimes(self: Pipeline, *told: Any) -> None:
        assert next(calls) % 100 != 50, "a bug"
        good(self, *told)

    monkeypatch.setattr(Pipeline, "receive_event", sometimes)
    text = printed(recording)
    assert "! The pipeline met a bug" in text
    assert len([one for one in caplog.records if one.exc_info]) == 1


def test_a_reading_that_meets_a_bug_costs_none_of_those_after_it(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, whole = Pipeline.receive_reading, replay(recording, ReplayOptions(), quiet())
    calls = iter(range(10**9))

    def sometimes(self: Pipeline, *told: Any) -> None:
        assert next(calls) % 100 != 50, "a bug"
        good(self, *told)

    monkeypatch.setattr(Pipeline, "receive_reading", sometimes)
    result = replay(recording, ReplayOptions(), quiet())
    assert result.snapshot.devices[0].readings + result.faults == whole.snapshot.devices[0].readings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(recording: Path) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    replay(recording, ReplayOptions(), Progress(terminal))
    replay(recording, ReplayOptions(), Progress(pipe))
    shown = [int(text.strip(" %")) for text in terminal.getvalue().split("replaying:")[1:-1] if "%" in text[:6]]
    assert "100 %" in terminal.getvalue()
    assert shown == sorted(shown)
    assert pipe.getvalue() == ""


def test_requests_that_nothing_metered_are_exported_without_energy(tmp_path: Path) -> None:
    simulated = poisson_run(Scenario(), np.random.default_rng(3), rate=1.0, seconds=20.0)
    with recorded(tmp_path / "r", SETTINGS, (), simulated.begin) as pipeline:
        tell(pipeline, hear(events(simulated)), begin=simulated.begin, end=Instant(simulated.end + 10.0))
    said = json.loads(
        printed(tmp_path / "r", ReplayOptions(compare=True, json=True, folders={"csv": tmp_path})),
        parse_constant=pytest.fail,
    )
    exported = rows(tmp_path / "requests.csv")
    assert len(exported) == 3 * len(simulated.served)
    assert {row["joules"] for row in exported} == {""}
    assert [one["joules"] for one in said["policies"]] == [0.0, 0.0, 0.0]
    text = printed(tmp_path / "r")
    assert "Nothing was metered." in text
    assert f"{len(simulated.served)}  their energy is not known" in text
