import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.dissections.document import VERSION, from_json, to_json
from exporter.domain.dissection import Case, Trials
from exporter.domain.errors import ComponentsError
from tests.dissections.examples import CPU, dissection, sweep


def test_what_is_read_is_what_was_written() -> None:
    written = (dissection(), dissection(case=Case("decode", 4, 512, "bfloat16"), device=CPU), *sweep())
    assert from_json(to_json(written)) == written


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_numbers_keep_their_last_digit(value: float) -> None:
    one = replace(dissection(), idle_watts=Trials((value,)))
    assert from_json(to_json([one]))[0].idle_watts.values == (value,)


def test_what_is_not_known_stays_unknown() -> None:
    one = replace(dissection(), period_seconds=None)
    read = from_json(to_json([one]))[0]
    assert read.period_seconds is None
    assert [part.flops for part in read.components if part.component == "norm"] == [None]


def test_no_results_are_a_file_too() -> None:
    assert from_json(to_json([])) == ()


def changed(*path: str | int, to: Any) -> str:
    document = json.loads(to_json([dissection()]))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(document)


FIRST = ("dissections", 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON in line 1"),
        ("[1, 2]", "must be a mapping"),
        ('{"a": 1}', "no result file of `components`"),
        (changed("kind", to="something else"), "no result file of `components`"),
        (changed("version", to=VERSION + 1), "version: is 2, but this release reads 1"),
        (changed("more", to=1), "more: is not known here"),
        (changed(*FIRST, "model", to=""), "dissections[0].model: must be text that is not empty"),
        (changed(*FIRST, "case", "phase", to="both"), "case.phase: must be one of prefill, decode"),
        (changed(*FIRST, "case", "batch", to=0), "case.batch: must be a whole number of at least 1"),
        (changed(*FIRST, "components", 0, "gross_joules", to=[]), "gross_joules: must be a list of at least one"),
        (changed(*FIRST, "components", 0, "gross_joules", to=["1"]), "components[0].gross_joules[0]: must be a number"),
        (changed(*FIRST, "components", 1, "component", to="soul"), "components[1].component: must be one of model"),
        (changed(*FIRST, "device", "method", to="guessed"), "device.method: must be one of measured"),
        (changed(*FIRST, "device", "has_counter", to=1), "device.has_counter: must be true or false"),
        (changed(*FIRST, "captures", 0, "whole", to="layer"), "captures[0].whole: must be one of model, block"),
        (changed(*FIRST, "idle_watts", to=None), "idle_watts: must be a list"),
        (to_json([dissection()]).replace("99.0", "NaN"), "NaN is no number of JSON"),
    ],
)
def test_a_refusal_names_the_place_and_the_problem(text: str, said: str) -> None:
    with pytest.raises(ComponentsError) as refused:
        from_json(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_whatever_stands_in_a_place_it_is_read_or_refused(value: Any) -> None:
    for name in ("shape", "case", "components", "captures", "software", "launch"):
        with suppress(ComponentsError):
            from_json(changed(*FIRST, name, to=value))
