"""Every body is understood, or refused with a reason that names the field."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulate.asking import Ask, RefusedError, parse

MODEL = "simulated/llama-3.1-8b"
HELLO = [{"role": "user", "content": "12345678"}]


def chat(**fields: Any) -> Ask:
    return parse(json.dumps({"messages": HELLO, **fields}).encode(), MODEL, chat=True)


def completion(**fields: Any) -> Ask:
    return parse(json.dumps({"prompt": "12345678", **fields}).encode(), MODEL, chat=False)


def test_a_prompt_has_a_token_for_four_characters() -> None:
    assert (chat().prompt_tokens, completion().prompt_tokens) == (2, 2)
    assert completion(prompt=[1, 2, 3]).prompt_tokens == 3
    assert completion(prompt=["123456789"]).prompt_tokens == 3
    parts = [{"type": "text", "text": "12345678"}, {"type": "text", "text": "9"}]
    assert chat(messages=[{"role": "system", "content": None}, {"role": "user", "content": parts}]).prompt_tokens == 3


def test_an_empty_chat_still_has_a_token() -> None:
    assert chat(messages=[{"role": "user", "content": ""}]).prompt_tokens == 1


def test_what_is_asked_for_is_understood() -> None:
    assert chat(max_tokens=7, ignore_eos=True, stream=True, stream_options={"include_usage": True}) == Ask(
        chat=True, prompt_tokens=2, max_tokens=7, exact=True, stream=True, usage=True
    )
    assert chat(max_completion_tokens=5, max_tokens=7).max_tokens == 5
    assert chat(model=MODEL, n=1, temperature=0.3, seed=7, unheard_of=True) == chat()


@pytest.mark.parametrize(
    ("fields", "param", "status"),
    [
        ({"model": "gpt-4"}, "model", 404),
        ({"messages": []}, "messages", 400),
        ({"messages": "hello"}, "messages", 400),
        ({"messages": [{"content": "no role"}]}, "messages", 400),
        ({"messages": [{"role": "user", "content": 7}]}, "messages", 400),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", 400),
        ({"messages": [{"role": "user", "content": "x" * 80_000}]}, "messages", 400),
        ({"max_tokens": 0}, "max_tokens", 400),
        ({"max_tokens": True}, "max_tokens", 400),
        ({"max_tokens": 1.5}, "max_tokens", 400),
        ({"max_tokens": 20_000}, "messages", 400),
        ({"n": 2}, "n", 400),
        ({"stream": "yes"}, "stream", 400),
        ({"stream_options": []}, "stream_options", 400),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(fields: dict[str, Any], param: str, status: int) -> None:
    with pytest.raises(RefusedError) as refused:
        chat(**fields)
    assert (refused.value.param, refused.value.status) == (param, status)


@pytest.mark.parametrize("prompt", ["", [], [1, "a"], ["a", "b"], None, {}, 7, [True]])
def test_prompts_that_are_none_are_refused(prompt: Any) -> None:
    with pytest.raises(RefusedError, match="prompt"):
        completion(prompt=prompt)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"7", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedError):
        parse(body, MODEL, chat=True)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["messages", "prompt", "max_tokens", "n", "stream", "stream_options", "model", "ignore_eos"])


@given(st.dictionaries(NAMES, ANYTHING), st.booleans())
def test_no_body_does_more_than_be_refused(fields: dict[str, Any], is_chat: bool) -> None:  # noqa: FBT001
    with contextlib.suppress(RefusedError):
        assert parse(json.dumps(fields).encode(), MODEL, chat=is_chat).prompt_tokens >= 1
