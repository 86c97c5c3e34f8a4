import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.events import RequestEvent
from exporter.domain.readings import Device
from exporter.domain.settings import AttributionSettings, PowerSettings, RequestSettings, ServerSettings, Settings
from exporter.domain.units import Joules
from exporter.recording.format import FIELDS, KINDS
from exporter.recording.reading import _FITS
from exporter.recording.values import UnfitError, from_json, to_json


@dataclass(frozen=True, slots=True)
class Inner:
    joules: Joules
    how: Literal["a", "b"] = "a"


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Inner
    pair: tuple[int, str] = (1, "x")
    many: tuple[float, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    anything: Any = None
    choice: Literal["all"] | tuple[str, ...] = "all"
    flag: bool | None = None


def through_json(value: Any) -> Any:
    return from_json(type(value), json.loads(json.dumps(to_json(value))))


OUTER = Outer(
    Inner(Joules(0.1 + 0.2)),
    (2, "y"),
    (1e-300, 3.0),
    {"k": Inner(Joules(1.0), "b")},
    anything={"z": [1]},
    choice=("0",),
    flag=False,
)


def test_a_value_survives() -> None:
    assert through_json(OUTER) == OUTER


def test_settings_survive() -> None:
    requests = RequestSettings("jsonl", ("a", "b"), "beginning", "Europe/Berlin", {"fields": {"id": "x"}})
    settings = Settings(
        servers=(
            ServerSettings("chat", (requests,), "m", ("0", "1"), "c.json", {"engine": "vllm"}),
            ServerSettings("b", (requests,)),
        ),
        power=PowerSettings(source=("nvml", "rapl"), idle_watts={"gpu0": 71.25}),
        attribution=AttributionSettings("tokens", "exclude", 0.05),
        proxies=("time",),
        state_dir="/var/lib/x",
    )
    assert through_json(settings) == settings


@given(joules=st.floats(allow_nan=False), many=st.lists(st.floats(allow_nan=False)))
def test_floats_survive_to_the_last_bit(joules: float, many: list[float]) -> None:
    value = Outer(Inner(Joules(joules)), many=tuple(many))
    assert through_json(value) == value


def test_what_is_missing_takes_its_default() -> None:
    assert from_json(Outer, {"inner": {"joules": 1.0}}) == Outer(Inner(Joules(1.0)))


@pytest.mark.parametrize(
    ("garbled", "where"),
    [
        ({"inner": {"joules": "much"}}, "inner.joules"),
        ({"inner": {"joules": True}}, "inner.joules"),
        ({"inner": {}}, "inner.joules: is missing"),
        ({"inner": {"joules": 1.0, "how": "c"}}, "inner.how"),
        ({"inner": {"joules": 1.0}, "newer": 1}, "newer: is unknown"),
        ({"inner": {"joules": 1.0}, "pair": [1]}, "pair"),
        ({"inner": {"joules": 1.0}, "many": [1.0, None]}, r"many\[1\]"),
        ({"inner": {"joules": 1.0}, "many": "12"}, "many"),
        ({"inner": {"joules": 1.0}, "by_name": {"k": {"joules": 1.0, "how": 3}}}, "by_name.k.how"),
        ({"inner": {"joules": 1.0}, "choice": "some"}, "choice"),
        ({"inner": {"joules": 1.0}, "flag": 0}, "flag"),
        ([], "should be an object, not a list"),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(garbled: Any, where: str) -> None:
    with pytest.raises(UnfitError, match=where):
        from_json(Outer, garbled)


def test_a_device_of_an_older_recording_lacks_what_was_not_known_then() -> None:
    device = Device("gpu0", "gpu")
    written = to_json(device)
    assert from_json(Device, {name: written[name] for name in ("name", "kind", "uuid")}) == device
    assert replace(device, driver="x") != device


def test_every_kind_of_event_and_every_field_of_it_can_be_written_and_is_checked_when_read() -> None:
    assert set(KINDS.values()) == set(RequestEvent.__args__)
    for tag, kind in KINDS.items():
        assert [one.name for one in FIELDS[tag]] == [one.name for one in fields(kind)]
        assert all(one.instant or one.name in _FITS for one in FIELDS[tag])
