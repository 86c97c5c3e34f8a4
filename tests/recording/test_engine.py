"""A whole exporter on tape: engine, logs, state and all, on a clock that tests move."""

from pathlib import Path

from exporter.app import assemble
from exporter.clock import SystemClock
from exporter.domain.settings import AttributionSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import Instant
from exporter.engine import Engine
from exporter.pipeline.pipeline import Pipeline
from exporter.power.select import Opened
from exporter.recording.entries import Restored
from exporter.recording.recording import Recording
from exporter.recording.tape import Tape
from tests.recording.recorded import lines, replayed
from tests.test_engine import FIELDS, ConstantPower, World, live, write


def engine_on_tape(world: World, log: Path, tape: Tape, state: Path | None = None) -> Engine:
    clock = SystemClock(wall=lambda: world.wall, steady=lambda: world.steady)
    requests = RequestSettings("jsonl", path=(str(log),), start_at="beginning", options=FIELDS)
    settings = Settings(
        servers=(ServerSettings("chat", (requests,)),),
        attribution=AttributionSettings(horizon_seconds=30.0),
        state_dir=str(state) if state is not None else None,
    )
    engine = assemble(settings, [Opened(ConstantPower(), "fake")], clock, tape)
    engine.resume()
    return engine


def session(engine: Engine, world: World, log: Path, first: int) -> list[Snapshot]:
    """Eighty seconds with overlapping requests, seen every ten."""
    seen = []
    for number in range(first, first + 8):
        write(log, f"a{number}", world.wall - 3.0, world.wall)
        write(log, f"b{number}", world.wall - 2.0, world.wall - 0.5)
        seen.append(live(engine, world, 10.0))
    return seen


def test_a_live_engines_books_are_those_of_its_recording_at_every_look(tmp_path: Path) -> None:
    world, log, tape = World(), tmp_path / "log", Tape(tmp_path / "r")
    log.touch()
    engine = engine_on_tape(world, log, tape)
    seen = session(engine, world, log, 0)
    engine.close()
    tape.close()
    again: dict[Instant, Snapshot] = {}

    def look(pipeline: Pipeline, now: Instant) -> None:
        again[now] = pipeline.snapshot(now)

    replayed(tmp_path / "r", look)
    assert sum(sum(model.requests.values()) for model in seen[-1].models) == 16
    assert [again[snapshot.at] for snapshot in seen] == seen


def test_a_session_that_went_on_from_saved_books_is_recorded_with_them(tmp_path: Path) -> None:
    world, log, state = World(), tmp_path / "log", tmp_path / "state"
    log.touch()
    state.mkdir()
    for number in range(2):
        tape = Tape(tmp_path / f"r{number}")
        engine = engine_on_tape(world, log, tape, state)
        session(engine, world, log, 8 * number)
        end = engine.pipeline.snapshot(Instant(world.wall))
        engine.close()
        tape.close()
        assert replayed(tmp_path / f"r{number}").snapshot(Instant(world.wall)) == end
    assert end.devices[0].metered_joules > 15_000.0
    with Recording(tmp_path / "r1") as recording:
        restored = next(iter(recording.entries()))
    assert isinstance(restored, Restored)
    assert not [key for key in restored.store if key.startswith("log|")]


def test_a_story_that_is_over_is_recorded_as_such(tmp_path: Path) -> None:
    world, log, tape = World(), tmp_path / "log", Tape(tmp_path / "r")
    log.touch()
    engine = engine_on_tape(world, log, tape)
    session(engine, world, log, 0)
    end = engine.finish()
    engine.close()
    tape.close()
    assert lines(tmp_path / "r")[-2].startswith('["finish"')
    assert replayed(tmp_path / "r").snapshot(end.at) == end


def test_what_is_on_tape_holds_no_text_of_the_log_and_no_path(tmp_path: Path) -> None:
    world, log, tape = World(), tmp_path / "log", Tape(tmp_path / "r")
    log.write_text(
        '{"id": "x", "start": 1, "end": 2, "tokens": 1, "prompt": "my secret question"}\nunreadable secret\n'
    )
    engine = engine_on_tape(world, log, tape, None)
    live(engine, world, 5.0)
    engine.close()
    tape.close()
    text = "\n".join(lines(tmp_path / "r"))
    assert "secret" not in text
    assert str(tmp_path) not in text
