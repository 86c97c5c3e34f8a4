"""`calibrate match`, from files and from a real local server, with calibrations of SIMULATED servers."""

import argparse
import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.calibrate import match
from exporter.calibrate.implied import energy_per_token
from exporter.calibrate.observation import (
    ALIASES,
    EXAMPLE,
    MOST_LINES,
    BadLineError,
    columns,
    parse,
    read,
)
from exporter.completions.observation import Observation
from exporter.domain.errors import CalibrationError, ExporterError, UsageError
from exporter.proxy.calibration.calibration import Calibration, Key, to_json
from exporter.proxy.calibration.matching.ranking import Fit
from exporter.proxy.calibration.matching.timings import Timings
from tests.calibrate.api_server import KEY, Behaviour, serving
from tests.properties import PROPERTIES
from tests.proxy.calibrations import CALIBRATION
from tests.proxy.served import physics_of, profile, quiet_run, timings

MODELS = ("llama-3.1-8b", "llama-3.1-70b")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def calibration_of(model: str) -> Calibration:
    latency = profile(physics_of(model)).snapshot()
    return replace(CALIBRATION, key=Key(model, "H100", 1), latency=latency, method="simulated")


def lines(seen: Timings) -> list[str]:
    rows = zip(seen.prompt_tokens, seen.output_tokens, seen.time_to_first_token_seconds, seen.seconds, strict=True)
    return [
        Observation(float(first), float(seconds), int(prompt), int(output)).line()
        for prompt, output, first, seconds in rows
    ]


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Said:
    parser = argparse.ArgumentParser()
    match.add_arguments(parser)
    code = match.run(parser.parse_args([str(one) for one in arguments]))
    heard = capsys.readouterr()
    return Said(code, heard.out, heard.err)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two calibrations, and timings of the larger model."""
    path = tmp_path_factory.mktemp("match")
    for model in MODELS:
        (path / f"{model}.json").write_text(to_json(calibration_of(model)))
    seen = timings(quiet_run(physics_of("llama-3.1-70b"), 900, 40), 25, network_seconds=0.05)
    (path / "timings.jsonl").write_text("".join(lines(seen)))
    return path


@pytest.fixture
def both(folder: Path) -> Sequence[Path]:
    return [folder / f"{model}.json" for model in MODELS]


def test_the_right_one_is_named_first_with_what_it_costs(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    said = run(capsys, *both, "--timings", folder / "timings.jsonl")
    answer, energy, _, head, best, other, *_ = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert answer.startswith("Of these it is llama-3.1-70b on 1x H100: confidence 9")
    assert "J per output token" in energy
    assert "inferred from times, not metered" in energy
    assert head.startswith("calibration")
    assert (best.startswith("llama-3.1-70b"), other.startswith("llama-3.1-8b")) == (True, True)
    assert "From 25 timings: 25 told" in said.out
    assert (
        "Beware: joules are SIMULATED, not measured, of llama-3.1-70b on 1x H100, llama-3.1-8b on 1x H100." in said.out
    )


def test_the_same_can_be_had_as_json(capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]) -> None:
    said = json.loads(run(capsys, *both, "--timings", folder / "timings.jsonl", "--json").out)
    assert (said["method"], said["verdict"]) == ("time_proxy", "match")
    assert said["among"] == ["llama-3.1-70b on 1x H100"]
    best, other = said["calibrations"]
    assert best["confidence"] > 0.9 > other["confidence"]
    assert best["energy"]["method"] == "time_proxy"
    assert best["energy"]["calibrated_by"] == "simulated"
    joules = best["energy"]["joules_per_output_token"]
    assert 0.0 < joules["low"] < joules["value"] < joules["high"]
    assert said["used"]["timings"] == 25


def test_where_it_may_be_several_the_energy_is_that_of_any(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    path = folder / "three.jsonl"
    path.write_text("".join((folder / "timings.jsonl").read_text().splitlines(keepends=True)[:2]))
    said = run(capsys, *both, "--timings", path, "--json")
    among = [one for one in json.loads(said.out)["calibrations"] if one["name"] in json.loads(said.out)["among"]]
    joules = [one["energy"]["joules_per_output_token"] for one in among]
    assert len(among) == 2
    low, high = min(one["low"] for one in joules), max(one["high"] for one in joules)
    line = run(capsys, *both, "--timings", path).out.splitlines()[1]
    assert line == f"That implies {low:.3g} to {high:.3g} J per output token, inferred from times, not metered."


def test_with_one_calibration_nothing_is_said_of_others(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    said = run(capsys, both[1], "--timings", folder / "timings.jsonl")
    assert "One calibration cannot say whether another would fit better." in said.out


def test_none_fits_is_an_answer(capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]) -> None:
    fast = [
        Observation(one.time_to_first_token_seconds / 5, one.seconds / 5, one.prompt_tokens, one.output_tokens).line()
        for one in read((folder / "timings.jsonl").read_text().splitlines()).good
    ]
    path = folder / "fast.jsonl"
    path.write_text("".join(fast))
    said = run(capsys, *both, "--timings", path)
    assert said.out.startswith("None of these fits (nearest: llama-3.1-8b on 1x H100). Not even alone is that so fast")
    assert "That implies" not in said.out
    assert said.code == 1


def test_none_fits_is_told_to_programs_by_the_exit_code_and_by_what_speaks_against_each(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    slow = [
        Observation(8 * one.time_to_first_token_seconds, 8 * one.seconds, one.prompt_tokens, one.output_tokens).line()
        for one in read((folder / "timings.jsonl").read_text().splitlines()).good
    ]
    path = folder / "slow.jsonl"
    path.write_text("".join(slow))
    said = run(capsys, *both, "--timings", path, "--json")
    told = json.loads(said.out)
    assert (said.code, told["verdict"], told["among"]) == (1, "none", [])
    assert told["nearest"] == told["calibrations"][0]["name"]
    assert [(one["fits"], one["against"]) for one in told["calibrations"]] == 2 * [(False, "slower")]
    assert all(one["log_odds"] < 0.0 for one in told["calibrations"])
    text = run(capsys, *both, "--timings", path).out
    assert "Not ruled out, if busier than under any load of its calibration: llama-3.1-" in text


def test_few_timings_and_prompts_of_one_length_are_warned_of(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    path = folder / "few.jsonl"
    path.write_text(3 * Observation(0.3, 3.0, 400, 128).line())
    said = run(capsys, *both, "--timings", path)
    assert "3 timings are few" in said.out
    assert "prompts of one length only" in said.out


def test_the_same_model_twice_is_told_apart_by_its_file(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    twin = folder / "twin.json"
    twin.write_text(both[1].read_text())
    said = run(capsys, both[1], twin, "--timings", folder / "timings.jsonl")
    assert said.out.startswith("Cannot tell which of these it is: ")
    assert str(twin) in said.out


def test_the_same_file_twice_is_refused(capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]) -> None:
    with pytest.raises(UsageError, match="given twice"):
        run(capsys, both[1], both[1], "--timings", folder / "timings.jsonl")


def test_a_calibration_without_latencies_is_left_out_and_named(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    mute = folder / "mute.json"
    mute.write_text(to_json(CALIBRATION))
    said = run(capsys, mute, *both, "--timings", folder / "timings.jsonl")
    assert "holds no latencies and is left out" in said.out
    with pytest.raises(ExporterError, match="no latencies in"):
        run(capsys, mute, "--timings", folder / "timings.jsonl")


def test_what_is_no_calibration_is_refused(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with pytest.raises(CalibrationError, match=r"timings\.jsonl"):
        run(capsys, folder / "timings.jsonl", "--timings", folder / "timings.jsonl")


def test_bad_lines_are_counted_named_and_skipped(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    path = folder / "mixed.jsonl"
    path.write_text("a secret prompt\n\n" + (folder / "timings.jsonl").read_text() + "{}\n[]\n1\n")
    said = run(capsys, *both, "--timings", path)
    assert "From 25 timings" in said.out
    assert (
        f"4 lines of {path} were skipped: line 1: no JSON; line 28: time_to_first_token_seconds is missing" in said.out
    )
    assert "secret" not in said.out


@pytest.mark.parametrize("content", ["", "\n\n", "nothing\n{}\n"])
def test_a_file_without_a_timing_is_an_error_with_an_example(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path], content: str
) -> None:
    path = folder / "none.jsonl"
    path.write_text(content)
    with pytest.raises(ExporterError, match="holds no timing") as error:
        run(capsys, *both, "--timings", path)
    assert EXAMPLE in str(error.value)


def test_a_file_that_is_not_there_is_an_error(
    capsys: pytest.CaptureFixture[str], folder: Path, both: Sequence[Path]
) -> None:
    with pytest.raises(ExporterError, match="cannot be read"):
        run(capsys, *both, "--timings", folder / "nowhere.jsonl")


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5", "99999999"])
def test_a_number_of_requests_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str], count: str) -> None:
    with pytest.raises(SystemExit):
        run(capsys, "c.json", "--url", "http://h", "--requests", count)
    assert "must be a whole number from 1 to" in capsys.readouterr().err


def test_a_url_needs_a_model_and_must_be_one(capsys: pytest.CaptureFixture[str], both: Sequence[Path]) -> None:
    with pytest.raises(UsageError, match="--model"):
        run(capsys, *both, "--url", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="http://HOST:PORT"):
        run(capsys, *both, "--url", "127.0.0.1:9", "--model", "m")


@pytest.mark.parametrize("value", [None, "", " ", "sk-\nsecret"])
def test_a_key_that_is_none_is_refused_unseen(
    capsys: pytest.CaptureFixture[str], both: Sequence[Path], monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SOME_KEY", value)
    with pytest.raises(UsageError, match="the environment variable SOME_KEY holds no key") as error:
        run(capsys, *both, "--url", "http://127.0.0.1:9", "--model", "m", "--api-key-env", "SOME_KEY")
    assert "secret" not in str(error.value)


@contextmanager
def in_a_thread(behaviour: Behaviour) -> Iterator[str]:
    """The server beside a command that has an event loop of its own."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with serving(behaviour) as url:
            urls.append(url)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10.0)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def test_a_server_is_timed_matched_and_its_timings_kept(
    capsys: pytest.CaptureFixture[str],
    both: Sequence[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    saved = tmp_path / "kept.jsonl"
    flags = ("--requests", "5", "--max-tokens", "12", "--api-key-env", "SOME_KEY", "--save", saved)
    with in_a_thread(Behaviour(needs_key=True, fails_after=5)) as url:
        said = run(capsys, *both, "--url", url, "--model", "small", *flags)
    assert "From 4 timings" in said.out
    assert "1 requests could not be timed: 1 failed (HTTP 500)" in said.out
    assert said.err == ""
    assert len(read(saved.read_text().splitlines()).good) == 4
    assert KEY not in said.out + said.err + saved.read_text()
    again = run(capsys, *both, "--timings", saved)
    assert again.out.splitlines()[0] == said.out.splitlines()[0]


def test_a_server_of_which_nothing_could_be_timed_is_an_error(
    capsys: pytest.CaptureFixture[str], both: Sequence[Path]
) -> None:
    with in_a_thread(Behaviour(fails_after=1)) as url, pytest.raises(ExporterError, match="none of 2 requests"):
        run(capsys, *both, "--url", url, "--model", "small", "--requests", "2")


def test_a_place_where_nothing_can_be_saved_is_known_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], both: Sequence[Path], tmp_path: Path
) -> None:
    behaviour = Behaviour()
    with in_a_thread(behaviour) as url, pytest.raises(ExporterError, match="cannot be written"):
        run(capsys, *both, "--url", url, "--model", "small", "--save", tmp_path / "no" / "file")
    assert behaviour.bodies == []


# --- timings as lines ----------------------------------------------------------------------------------------------


def test_the_example_is_a_timing() -> None:
    assert parse(EXAMPLE) == Observation(0.21, 2.9, 412, 128)


@pytest.mark.parametrize(("what", "name"), [(what, name) for what, names in ALIASES.items() for name in names])
def test_other_names_and_milliseconds_are_understood(what: str, name: str) -> None:
    row = json.loads(EXAMPLE)
    row[name] = row.pop(what) * (1000.0 if name.endswith("_ms") else 1)
    found, wanted = parse(json.dumps(row)), parse(EXAMPLE)
    assert getattr(found, what) == pytest.approx(getattr(wanted, what))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("prompt", "no JSON"),
        ("[" * 60_000, "no JSON"),
        ("3", "no JSON object"),
        ("x" * 70_000, "longer than"),
        ('{"seconds": 1}', "time_to_first_token_seconds is missing"),
        ('{"ttft": 1, "output_tokens": 5}', "seconds is missing"),
        ('{"ttft": 1, "seconds": 2}', "neither prompt_tokens nor output_tokens"),
        ('{"ttft": 3, "seconds": 2, "output_tokens": 5}', "came before the request or after the end"),
        ('{"ttft": 0, "seconds": 2, "output_tokens": 5}', "came before the request or after the end"),
        ('{"ttft": "1", "seconds": 2, "output_tokens": 5}', "ttft is no number"),
        ('{"ttft": true, "seconds": 2, "output_tokens": 5}', "ttft is no number"),
        ('{"ttft": NaN, "seconds": 2, "output_tokens": 5}', "ttft is no number"),
        ('{"ttft": 1, "seconds": 1e400, "output_tokens": 5}', "seconds is no number"),
        ('{"ttft": 1, "seconds": 2, "output_tokens": -5}', "output_tokens is no number"),
        ('{"ttft": 1, "seconds": 2, "output_tokens": 5.5}', "output_tokens is no whole number"),
    ],
)
def test_a_line_that_is_no_timing_says_why(line: str, why: str) -> None:
    with pytest.raises(BadLineError, match=why):
        parse(line)


def test_a_file_without_end_is_read_to_a_bound() -> None:
    found = read(EXAMPLE for _ in range(MOST_LINES + 5))
    assert (len(found.good), found.beyond) == (MOST_LINES, True)


@PROPERTIES
@given(st.floats(1e-4, 1e3), st.floats(0.0, 1e3), st.none() | st.integers(0, 10**6), st.integers(1, 10**6))
def test_what_is_written_is_read_back(first: float, more: float, prompt: int | None, output: int) -> None:
    one = Observation(first, first + more, prompt, output)
    assert parse(one.line()) == one


@PROPERTIES
@given(st.text())
def test_no_line_breaks_the_reader(line: str) -> None:
    found = read([line])
    assert len(found.good) + found.bad == bool(line.strip())


# --- what it implies -----------------------------------------------------------------------------------------------


def fit(concurrency: float) -> Fit:
    return Fit("one", 1.0, 1.0, 0.0, 5.0, 1.0, None, concurrency=concurrency, network_seconds=0.1)


def test_joules_of_a_token_are_those_of_the_calibration_at_that_load() -> None:
    seen = columns([Observation(0.2, 1.2, 100, 101)])
    alone, shared = (energy_per_token(CALIBRATION, fit(concurrency), seen) for concurrency in (1.0, 4.0))
    assert alone is not None
    assert shared is not None
    step, decode, prefill, context = 3.16 * 100, 0.0665 * 100, 0.02 * 100, 1e-5 * 100 * 150.5
    assert alone.joules == pytest.approx((step + decode + prefill + context) / 101, rel=0.02)
    assert shared.joules == pytest.approx((step / 4 + decode + prefill + context) / 101, rel=0.02)
    assert alone.low < alone.joules < alone.high


def test_of_timings_without_tokens_no_joules_are_told() -> None:
    seen = columns([Observation(0.2, 1.2, 100, None)])
    assert energy_per_token(CALIBRATION, fit(1.0), seen) is None
    assert np.isnan(seen.output_tokens).all()


def test_the_page_names_every_flag_and_every_alias() -> None:
    page = (Path(__file__).parents[2] / "docs" / "MATCHING.md").read_text()
    parser = argparse.ArgumentParser(add_help=False)
    match.add_arguments(parser)
    flags = [
        word for word in parser.format_usage().replace("[", " ").replace("]", " ").split() if word.startswith("--")
    ]
    names = [name for names in ALIASES.values() for name in names]
    assert [word for word in (*flags, *names) if f"{word}`" not in page and f"{word} " not in page] == []
