"""The command `calibrate`, as it is typed."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest
from aiohttp import web

from exporter.cli import main
from exporter.config.calibrations import FOLDER, imported
from exporter.proxy.calibration.calibration import Calibration, from_json, to_json
from exporter.proxy.calibration.saved import ENTRY, pack
from exporter.server import build
from exporter.server.access import Doors, InForce
from exporter.state import StateStore
from tests.metrics.examples import published
from tests.proxy.calibrations import CALIBRATION

OTHER = replace(CALIBRATION, key=replace(CALIBRATION.key, model="qwen3-8b"))

Said = tuple[int, str, str]


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    code = main(["calibrate", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calibration.json"
    path.write_text(to_json(CALIBRATION))
    return path


@contextmanager
def serving(calibrations: Mapping[str, Sequence[Calibration]], web_config: Path | None = None) -> Iterator[str]:
    """An exporter's server with these calibrations, in a thread of its own; yields its address."""
    loop, ready, urls = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> web.AppRunner:
        app = build(published, lambda: True, calibrations=lambda: calibrations)
        if web_config is not None:
            Doors(InForce(web_config), probes_open=True).guard(app)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        return runner

    def work() -> None:
        runner = loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(10.0)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def saved_state(directory: Path, calibrations: Mapping[str, Sequence[Calibration]]) -> Path:
    store = StateStore.open(directory)
    store.save({ENTRY: pack(calibrations)})
    store.close()
    return directory


# --- export ----------------------------------------------------------------------------------------------------------


def test_a_running_exporter_is_asked_for_its_calibration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serving({"chat": [CALIBRATION]}) as url:
        code, out, _ = run(capsys, "export", "--url", url)
        assert (code, from_json(out)) == (0, CALIBRATION)
        code, out, err = run(capsys, "export", "--url", f"{url}/", "--output", tmp_path / "c.json")
    assert (code, out) == (0, "")
    assert "calibrate show" in err
    assert from_json((tmp_path / "c.json").read_text()) == CALIBRATION
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_of_several_one_must_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"chat": [CALIBRATION, OTHER]}) as url:
        code, out, err = run(capsys, "export", "--url", url)
        assert (code, out) == (2, "")
        assert "there are: --server chat --model llama-3.1-8b, --server chat --model qwen3-8b" in err
        code, out, _ = run(capsys, "export", "--url", url, "--model", "qwen3-8b")
    assert (code, from_json(out)) == (0, OTHER)


def test_that_there_is_none_yet_is_said_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({}) as url:
        code, _, err = run(capsys, "export", "--url", url)
    assert code == 1
    assert "Let it meter a loaded server" in err


def test_a_password_stands_in_the_url_and_in_no_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    web_config = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(b"p@ss:word", bcrypt.gensalt(4)).decode()
    web_config.write_text(f"basic_auth_users: {{alice: {hashed}}}")
    with serving({"chat": [CALIBRATION]}, web_config) as url:
        asked = url.replace("://", "://alice:{}@")
        assert run(capsys, "export", "--url", asked.format("p%40ss:word"))[0] == 0
        (tmp_path / "password").write_text("p@ss:word\n")
        given = ("--user", "alice", "--password-file", tmp_path / "password")
        assert run(capsys, "export", "--url", url, *given)[0] == 0
        assert run(capsys, "export", "--url", url, *given[:2])[0] == 2
        for wrong in (url, asked.format("hunter2")):
            code, _, err = run(capsys, "export", "--url", wrong)
            assert (code, "let us in (401)" in err, "--password-file" in err, "hunter2" in err) == (
                1,
                True,
                True,
                False,
            )


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("localhost:9460", 2, "it begins with http:// or https://"),
        ("file:///etc/passwd", 2, "it begins with http:// or https://"),
        ("http://127.0.0.1:1", 1, "Connection refused"),
        ("http://[", 1, "cannot be asked"),
        ("http://127.0.0.1:port", 1, "cannot be asked"),
    ],
)
def test_an_address_that_cannot_be_asked_is_named(
    capsys: pytest.CaptureFixture[str], url: str, code: int, said: str
) -> None:
    got, _, err = run(capsys, "export", "--url", url)
    assert got == code
    assert url in err
    assert said in err


def test_a_stopped_exporters_state_is_as_good(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved_state(tmp_path, {"chat": [CALIBRATION], "other": [OTHER]})
    code, out, _ = run(capsys, "export", "--state-dir", tmp_path, "--server", "other")
    assert (code, from_json(out)) == (0, OTHER)


def test_a_running_exporters_state_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = StateStore.open(tmp_path)
    code, _, err = run(capsys, "export", "--state-dir", tmp_path)
    store.close()
    assert code == 1
    assert "export with --url instead" in err


def test_a_directory_without_state_stays_without(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "export", "--state-dir", tmp_path)
    assert code == 1
    assert "is this the exporter's state_dir?" in err
    assert not list(tmp_path.iterdir())


def test_garbled_calibrations_in_the_state_are_not_used(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = StateStore.open(tmp_path)
    store.save({ENTRY: b'{"chat": [{"format": 1}]}'})
    store.close()
    code, _, err = run(capsys, "export", "--state-dir", tmp_path)
    assert code == 1
    assert "format: is not `llm-energy-exporter calibration`" in err


# --- show and check --------------------------------------------------------------------------------------------------


def test_all_that_matters_is_shown(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, out, _ = run(capsys, "show", file)
    assert code == 0
    for word in ("llama-3.1-8b on 2 x NVIDIA H200", "vLLM 0.11.1", "bfloat16", "TP2", "1400 W", "570.86.15"):
        assert word in out
    assert "energy      measured; shared among overlapping requests by rule `steps`" in out
    assert "step_model  step             3.16            0.02  J/step" in out
    assert "decode_token   0.0665  not told apart  J/token" in out
    assert "step_model          1.0%  120     2.0%  40        -  900" in out
    assert "2 to 4            5.0%  +0.2%  700" in out


def test_a_good_file_is_good(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    code, out, _ = run(capsys, "check", file)
    assert code == 0
    assert out.startswith(f"{file}: good (llama-3.1-8b_2xNVIDIA-H200_bfloat16)\n")


@pytest.mark.parametrize("action", ["show", "check", "import"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no calibration: no JSON in line 1"),
        (b"\xff", "no UTF-8 text (byte 0)"),
        (to_json(CALIBRATION).replace('"schema": 1', '"schema": 7').encode(), "schema: 7 is newer than this release"),
        (b" " * 2_000_000, "larger than 1048576 bytes"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_never_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, action: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)
    more = ("--state-dir", tmp_path) if action == "import" else ()
    code, out, err = run(capsys, action, path, *more)
    assert (code, out) == (1, "")
    assert str(path) in err
    assert said in err
    assert not (tmp_path / FOLDER).exists()


# --- import ----------------------------------------------------------------------------------------------------------


def test_what_is_imported_is_found_by_its_name(capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path) -> None:
    code, out, _ = run(capsys, "import", file, "--state-dir", tmp_path)
    assert code == 0
    assert "servers with `model: llama-3.1-8b`" in out
    assert imported(tmp_path) == {"llama-3.1-8b_2xNVIDIA-H200_bfloat16.json": CALIBRATION}


def test_a_second_import_replaces_the_first_and_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path
) -> None:
    run(capsys, "import", file, "--state-dir", tmp_path)
    newer = replace(CALIBRATION, date="2026-12-01T00:00:00+00:00")
    file.write_text(to_json(newer))
    _, out, _ = run(capsys, "import", file, "--state-dir", tmp_path)
    assert "replacing the one that was there" in out
    assert list(imported(tmp_path).values()) == [newer]


def test_a_state_directory_that_is_not_there_is_not_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, file: Path
) -> None:
    code, _, err = run(capsys, "import", file, "--state-dir", tmp_path / "no")
    assert code == 1
    assert "does not exist" in err
    assert not (tmp_path / "no").exists()


def test_an_action_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate"])
    assert ended.value.code == 2
    assert "ACTION" in capsys.readouterr().err


def test_the_file_is_text_that_people_can_read(file: Path) -> None:
    assert json.loads(file.read_text())["key"]["model"] == "llama-3.1-8b"
    assert len(file.read_text().splitlines()) > 50


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{}", "format: is not"),
        (to_json(OTHER).replace('"schema": 1', '"schema": 9'), "newer"),
    ],
)
def test_an_exporter_does_not_start_with_a_calibration_that_it_cannot_use(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None, said: str
) -> None:
    file, config = tmp_path / "c.json", tmp_path / "config.yaml"
    if content is not None:
        file.write_text(content)
    (tmp_path / "log").touch()
    config.write_text(
        f"power: {{source: none}}\nlisten: 127.0.0.1:0\n"
        f"servers: [{{name: remote, calibration: {file}, requests: {{source: llamacpp, path: {tmp_path}/log}}}}]"
    )
    assert main(["run", "--config", str(config)]) == 2
    err = capsys.readouterr().err
    assert f"servers[0].calibration: {file}" in err
    assert said in err
