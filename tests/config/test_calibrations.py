"""Which calibration a server is estimated with, and what keeps the exporter from starting."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.config.calibrations import FOLDER, calibrations_for
from exporter.domain.errors import ConfigError
from exporter.domain.settings import RequestSettings, ServerSettings, Settings
from exporter.proxy.calibration.calibration import Calibration, to_json
from tests.proxy.calibrations import CALIBRATION

REQUESTS = RequestSettings("jsonl")
MODEL = CALIBRATION.key.model


def written(path: Path, calibration: Calibration = CALIBRATION) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(to_json(calibration))
    return path


def settings(*servers: ServerSettings, state_dir: Path | None = None) -> Settings:
    return Settings(servers=servers, state_dir=str(state_dir) if state_dir is not None else None)


def refusal(given: Settings, *estimated: str) -> str:
    with pytest.raises(ConfigError) as raised:
        calibrations_for(given, estimated)
    return str(raised.value)


def test_a_named_file_is_for_the_server_that_names_it(tmp_path: Path) -> None:
    file = written(tmp_path / "c.json")
    servers = (ServerSettings("a", (REQUESTS,)), ServerSettings("b", (REQUESTS,), calibration=str(file)))
    assert calibrations_for(settings(*servers), ["a", "b"]) == {"b": CALIBRATION}


def test_who_is_metered_gets_none(tmp_path: Path) -> None:
    file = written(tmp_path / "c.json")
    assert calibrations_for(settings(ServerSettings("a", (REQUESTS,), calibration=str(file))), []) == {}


@pytest.mark.parametrize("estimated", [(), ("b",)])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "is no calibration"),
        (to_json(CALIBRATION).replace('"schema": 1', '"schema": 2'), "schema: 2 is newer than this release can read"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_even_where_it_is_not_needed(
    tmp_path: Path, estimated: tuple[str, ...], content: str | None, said: str
) -> None:
    file = tmp_path / "c.json"
    if content is not None:
        file.write_text(content)
    servers = (ServerSettings("a", (REQUESTS,)), ServerSettings("b", (REQUESTS,), calibration=str(file)))
    problem = refusal(settings(*servers), *estimated)
    assert problem.startswith(f"servers[1].calibration: {file}")
    assert said in problem
    assert "export it again" in problem


def test_an_imported_one_is_for_its_model_only(tmp_path: Path) -> None:
    written(tmp_path / FOLDER / "x.json")
    servers = (ServerSettings("a", (REQUESTS,), model=MODEL), ServerSettings("b", (REQUESTS,), model="qwen3-8b"))
    assert calibrations_for(settings(*servers, state_dir=tmp_path), ["a", "b"]) == {"a": CALIBRATION}


def test_a_model_that_only_the_log_knows_finds_no_imported_one(tmp_path: Path) -> None:
    written(tmp_path / FOLDER / "x.json")
    assert calibrations_for(settings(ServerSettings("a", (REQUESTS,)), state_dir=tmp_path), ["a"]) == {}


def test_a_named_file_goes_before_an_imported_one(tmp_path: Path) -> None:
    written(tmp_path / FOLDER / "x.json")
    named = replace(CALIBRATION, date="2026-01-01T00:00:00+00:00")
    server = ServerSettings("a", (REQUESTS,), model=MODEL, calibration=str(written(tmp_path / "c.json", named)))
    assert calibrations_for(settings(server, state_dir=tmp_path), ["a"]) == {"a": named}


def test_of_two_imported_ones_none_is_guessed(tmp_path: Path) -> None:
    written(tmp_path / FOLDER / "h100.json")
    written(tmp_path / FOLDER / "h200.json")
    said = refusal(settings(ServerSettings("a", (REQUESTS,), model=MODEL), state_dir=tmp_path), "a")
    both = f"h100.json, h200.json in {tmp_path / FOLDER}"
    assert said == f"servers[0].calibration: {both} are all of {MODEL}: name one of these files"


def test_a_broken_imported_one_stops_whoever_might_mean_it(tmp_path: Path) -> None:
    written(tmp_path / FOLDER / "x.json").write_text("{")
    given = settings(ServerSettings("a", (REQUESTS,), model=MODEL), state_dir=tmp_path)
    assert "x.json: is no calibration" in refusal(given, "a")
    assert calibrations_for(given, []) == {}
