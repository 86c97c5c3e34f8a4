"""A calibration's file: what it says, and what is refused."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.errors import CalibrationError
from exporter.domain.readings import Device
from exporter.proxy.calibration import calibration as module
from exporter.proxy.calibration.calibration import (
    Calibration,
    GroundScores,
    Key,
    Machine,
    ProxyCalibration,
    Spread,
    from_json,
    key_of,
    to_json,
)
from exporter.proxy.proxies import UNITS
from exporter.proxy.proxy import Coefficient
from tests.proxy.calibrations import CALIBRATION

Change = Callable[[dict[str, Any]], object]

sizes = st.floats(0.0, 1e300)
lines = st.text(st.characters(exclude_categories=("C", "Zl", "Zp", "Zs")), max_size=20)
coefficients = st.builds(Coefficient, sizes, sizes | st.just(math.inf))
counts, biases = st.integers(1, 10**9), st.floats(-1e9, 1e9)
spreads: st.SearchStrategy[tuple[Spread, ...]] = st.lists(st.integers(0, 15), unique=True, max_size=9).flatmap(
    lambda levels: st.tuples(
        *(
            st.builds(Spread, st.just(2**level), st.just(1.0), st.floats(1.0, 1e9), counts, sizes, biases, *[sizes] * 3)
            for level in sorted(levels)
        )
    )
)


def proxies_of(name: Any) -> st.SearchStrategy[ProxyCalibration]:
    return st.builds(
        ProxyCalibration,
        st.fixed_dictionaries(dict.fromkeys(UNITS[name], coefficients)),
        st.dictionaries(
            st.sampled_from(["isolated", "window", "request"]),
            st.builds(
                GroundScores,
                st.integers(0, 10**9),
                st.dictionaries(st.sampled_from(["r2", "mape", "bias"]), st.floats(-1e300, 1e300)),
            ),
        ),
        spreads,
        spreads,
    )


calibrations = st.builds(
    Calibration,
    key=st.builds(Key, lines.filter(bool), lines, st.integers(0, 64), lines, lines, lines, st.none() | sizes, lines),
    date=st.datetimes(timezones=st.timezones()).map(lambda one: one.isoformat()),
    machine=st.builds(Machine, lines, lines),
    method=st.sampled_from(["measured", "estimated", "simulated", "recorded"]),
    policy=st.sampled_from(["steps", "time"]),
    proxies=st.sets(st.sampled_from(list(UNITS)), min_size=1).flatmap(
        lambda names: st.fixed_dictionaries({name: proxies_of(name) for name in names})
    ),
    latency=st.dictionaries(lines, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | lines),
)


def changed(change: Change) -> str:
    document = json.loads(to_json(CALIBRATION))
    change(document)
    return json.dumps(document)


def refusal(text: str) -> str:
    with pytest.raises(CalibrationError) as raised:
        from_json(text)
    return str(raised.value)


def put(*path: str | int, value: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        inside: Any = document
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = value

    return change


@given(calibrations)
def test_writing_and_reading_back_changes_nothing(calibration: Calibration) -> None:
    assert from_json(to_json(calibration)) == calibration


def test_coefficients_say_what_they_are_in() -> None:
    written = json.loads(to_json(CALIBRATION))["proxies"]["step_model"]["coefficients"]
    units = UNITS["step_model"]
    assert written["step"] == {"value": 3.16, "error": 0.02, "unit": units["step"]}
    assert written["decode_token"] == {"value": 0.0665, "error": None, "unit": units["decode_token"]}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("format",), "tune", "format: is not `llm-energy-exporter calibration`: this is something else, or damaged"),
        (("schema",), 2, "schema: 2 is newer than this release can read (up to 1): update llm-energy-exporter"),
        (("schema",), "1", 'schema: must be a whole number of at least 1, not "1"'),
        (("schema",), True, "schema: must be a whole number of at least 1, not true"),
        (("key", "model"), " ", 'key.model: must be text that is not empty, not " "'),
        (("key", "gpus"), -1, "key.gpus: must be a whole number of at least 0, not -1"),
        (("key", "colour"), "red", "key.colour: is not known here"),
        (("date",), "2026-11-21T08:00:00", "date: must be a date and time with an offset from UTC"),
        (("date",), "yesterday", "date: must be a date and time"),
        (("method",), "guessed", "method: must be one of measured, estimated, simulated, recorded, time_proxy, not"),
        (("policy",), ["steps"], "policy: must be one of time, tokens, steps, not"),
        (("proxies",), {}, "proxies: holds no proxy: there is nothing to estimate with"),
        (("proxies", "crystal_ball"), {}, "proxies.crystal_ball: is not known here, where there can be time"),
        (("proxies", "time_share", "coefficients"), {}, "proxies.time_share.coefficients.shared_second: is missing"),
        (
            ("proxies", "time_share", "coefficients", "shared_second", "unit"),
            "kJ/s",
            'proxies.time_share.coefficients.shared_second.unit: must be `W`, not "kJ/s"',
        ),
        (
            ("proxies", "time_share", "coefficients", "shared_second", "value"),
            -1,
            "proxies.time_share.coefficients: cannot be used: coefficient `shared_second` of proxy `time_share` is -1",
        ),
        (
            ("proxies", "time_share", "grounds", "window", "scores", "luck"),
            1,
            "proxies.time_share.grounds.window.scores.luck: is not known here",
        ),
        (
            ("proxies", "time_share", "shared", 1, "concurrency"),
            2,
            "proxies.time_share.shared: must be in order of concurrency, each once",
        ),
        (("proxies", "time_share", "alone", 0, "size"), None, "proxies.time_share.alone[0].size: must be a number"),
        (("proxies", "time_share", "alone"), [{}] * 17, "proxies.time_share.alone: must be a list of at most 16"),
        (("latency",), [], "latency: must be a mapping, not []"),
        (("k\n\x1b[31m",), 1, '"k\\n\\u001b[31m": is not known here'),
    ],
)
def test_what_it_must_not_say_is_refused_with_its_place(path: tuple[str, ...], value: Any, said: str) -> None:
    assert refusal(changed(put(*path, value=value))).startswith(said)


@pytest.mark.parametrize(
    "key", ["format", "schema", "key", "date", "machine", "method", "policy", "proxies", "latency"]
)
def test_nothing_may_be_missing(key: str) -> None:
    assert refusal(changed(lambda document: document.pop(key))).startswith(f"{key}: is")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no calibration: no JSON in line 1, column 1"),
        (to_json(CALIBRATION)[:500], "is no calibration: no JSON in line"),
        ("[]", "must be a mapping, not []"),
        ('{"format": 1, "format": 2}', 'is no calibration: the key "format" stands twice'),
        ('{"format": NaN}', "is no calibration: NaN is no number of JSON"),
        ("[" * 100_000, "is no calibration: "),
    ],
)
def test_what_is_no_calibration_is_said_to_be_none(text: str, said: str) -> None:
    assert refusal(text).startswith(said)


@given(st.data())
def test_any_damage_is_refused_or_is_another_calibration(data: st.DataObject) -> None:
    text = to_json(CALIBRATION)
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.characters()) + text[at + data.draw(st.integers(0, 3)) :]
    try:
        found = from_json(damaged)
    except CalibrationError:
        return
    assert from_json(to_json(found)) == found


def test_an_older_schema_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEMA", 2)
    newer = to_json(CALIBRATION)
    older = json.dumps({**json.loads(newer), "schema": 1, "latency": []})
    upgrades = {1: lambda document: {**document, "schema": 2, "latency": {}}}
    assert from_json(older, upgrades) == replace(CALIBRATION, latency={})
    with pytest.raises(CalibrationError, match="schema: 1 is no longer read: make the calibration anew"):
        from_json(older, {})


def test_its_name_can_be_a_files() -> None:
    assert CALIBRATION.name == "llama-3.1-8b_2xNVIDIA-H200_bfloat16"
    odd = replace(CALIBRATION, key=Key("../../etc/passwd\u00e9", dtype="x" * 500))
    assert odd.name.startswith("etc-passwd-_xxx")
    assert len(odd.name) == 150
    assert replace(CALIBRATION, key=Key("../..")).name == "unnamed"


def test_it_is_of_the_gpus_where_there_are_any() -> None:
    gpu = Device("gpu0", "gpu", model="NVIDIA H200", driver="570.86.15", power_limit_watts=600.0)
    devices = (gpu, replace(gpu, name="gpu1"), Device("cpu0", "cpu", model="CPU"))
    assert key_of("llama", {"dtype": "fp8"}, devices) == Key(
        "llama", "NVIDIA H200", 2, dtype="fp8", power_limit_watts=1200.0, driver="570.86.15"
    )


def test_without_gpus_it_is_of_the_hosts_parts() -> None:
    parts = (Device("cpu0", "cpu", model="CPU (estimated)"), Device("dram0", "dram"))
    assert key_of("llama", {}, parts) == Key("llama", "CPU (estimated) + dram", 2)


def test_a_limit_that_one_device_does_not_tell_is_not_known_of_all() -> None:
    known = Device("gpu0", "gpu", power_limit_watts=600.0)
    assert key_of("llama", {}, (known, Device("gpu1", "gpu"))).power_limit_watts is None


@given(st.text(min_size=1))
def test_whatever_a_log_calls_the_model_can_be_carried(model: str) -> None:
    carried = replace(CALIBRATION, key=key_of(model + "m", {}, ()))
    assert from_json(to_json(carried)) == carried
