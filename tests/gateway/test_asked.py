import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.gateway.asked import model_asked

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["model", "a", '"model":']), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["model", "messages", "n", '"model": "x"']), VALUES), st.booleans())
def test_the_model_is_the_outermost_objects(body: dict[str, Any], ascii_only: bool) -> None:  # noqa: FBT001
    said = body.get("model")
    expected = said if isinstance(said, str) and said else None
    assert model_asked("/v1/completions", json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "replace")) == (
        expected.encode("utf-8", "replace").decode() if expected and not ascii_only else expected
    )


@given(st.binary(max_size=300) | st.text(list('{}[]":,\\ model'), max_size=80).map(str.encode))
def test_no_body_hurts(body: bytes) -> None:
    model = model_asked("/", body)
    assert model is None or 0 < len(model) <= 256


def test_a_body_cut_short_is_good_enough() -> None:
    assert model_asked("/", b'{"messages": [{"content": "hi"}], "model": "m", "promp') == "m"
    assert model_asked("/", b'{"messages": [{"content": "hi", "model": "no"') is None


def test_what_a_prompt_says_is_no_model() -> None:
    assert model_asked("/", json.dumps({"prompt": '{"model": "no"}, "model": "no"'}).encode()) is None


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v2/models/bert/infer", "bert"),
        ("/v2/models/bert/versions/3/infer", "bert"),
        ("/v1/models/iris:predict", "iris"),
        ("/v1/models/iris", None),
    ],
)
def test_some_paths_name_the_model(path: str, model: str | None) -> None:
    assert model_asked(path, b"") == model


@pytest.mark.parametrize("unit", [b'"', b'"\\', b'" ', b'\\"', b"[", b'{"a":', b'"a":'])
def test_a_hostile_body_costs_no_more_than_its_length(unit: bytes) -> None:
    assert model_asked("/", unit * 40_000) is None  # quadratic time would be minutes
