from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.gateway.bill import Bill

ANSWERS: list[tuple[str, Any, tuple[int | None, int | None, int | None]]] = [
    (
        "OpenAI's chat",
        {"usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}},
        (9, 3, 4),
    ),
    (
        "OpenAI's Responses",
        {"usage": {"input_tokens": 9, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 0}}},
        (9, 0, 4),
    ),
    (
        "OpenAI's Responses, streamed",
        {"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 4}}},
        (9, None, 4),
    ),
    ("embeddings", {"usage": {"prompt_tokens": 9, "total_tokens": 9}}, (9, None, 0)),
    (
        "Anthropic's, whose input is what no cache held",
        {
            "usage": {
                "input_tokens": 2,
                "cache_read_input_tokens": 5,
                "cache_creation_input_tokens": 1,
                "output_tokens": 4,
            }
        },
        (8, 5, 4),
    ),
    (
        "Anthropic's first event",
        {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}},
        (9, None, 1),
    ),
    ("Ollama's last", {"done": True, "prompt_eval_count": 9, "eval_count": 4, "response": ""}, (9, None, 4)),
    ("Ollama's others", {"done": False, "response": "hi"}, (None, None, None)),
    (
        "llama-server's completion",
        {"tokens_evaluated": 9, "tokens_predicted": 4, "timings": {"cache_n": 6, "prompt_n": 3, "predicted_n": 4}},
        (9, 6, 4),
    ),
    (
        "llama-server's chat",
        {
            "usage": {"prompt_tokens": 9, "completion_tokens": 4},
            "timings": {"cache_n": 6, "prompt_n": 3, "predicted_n": 4},
        },
        (9, 6, 4),
    ),
    ("llama-server's timings alone", {"timings": {"cache_n": 6, "prompt_n": 3, "predicted_n": 4}}, (9, 6, 4)),
    ("TGI's", {"details": {"generated_tokens": 4, "prefill": [{}, {}]}}, (2, None, 4)),
    ("TGI's streamed", {"details": {"generated_tokens": 4, "input_length": 9}}, (9, None, 4)),
    ("SGLang's", {"meta_info": {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 3}}, (9, 3, 4)),
    (
        "a batch",
        [{"meta_info": {"prompt_tokens": n, "completion_tokens": 2, "cached_tokens": 0}} for n in (3, 4)],
        (7, 0, 4),
    ),
    ("a batch of which one is silent", [{"meta_info": {"prompt_tokens": 3}}, {}], (None, None, None)),
]


@pytest.mark.parametrize(("body", "counts"), [one[1:] for one in ANSWERS], ids=[one[0] for one in ANSWERS])
def test_each_server_says_it_in_its_own_words(body: Any, counts: tuple[int | None, ...]) -> None:
    bill = Bill()
    bill.read(body)
    assert (bill.prompt_tokens, bill.cached_tokens, bill.output_tokens) == counts


def test_what_comes_later_is_believed_and_what_is_missing_changes_nothing() -> None:
    bill = Bill()
    bill.read(
        {
            "type": "message_start",
            "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 9, "output_tokens": 1}},
        }
    )
    bill.read({"type": "message_delta", "usage": {"output_tokens": 40}})
    bill.read({"type": "message_stop"})
    assert bill == Bill("msg_1", "c", 9, None, 40)


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        ({"error": {"message": "no"}}, True),
        ({"error": "no", "error_type": "overloaded"}, True),
        ({"type": "error"}, True),
        ({"type": "response.failed", "response": {"id": "r"}}, True),
        ({"error": None, "id": "r"}, False),
    ],
)
def test_a_failure_within_an_answer_is_heard(body: Any, failed: bool) -> None:  # noqa: FBT001
    bill = Bill()
    bill.read(body)
    assert bill.failed is failed


KEYS = [
    "usage",
    "timings",
    "details",
    "meta_info",
    "message",
    "response",
    "id",
    "model",
    "done",
    "prompt_tokens",
    "prefill",
]
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "total_tokens"]), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_answer_hurts_and_no_count_is_absurd(body: Any) -> None:
    bill = Bill()
    bill.read(body)
    for count in (bill.prompt_tokens, bill.cached_tokens, bill.output_tokens):
        assert count is None or (type(count) is int and count >= 0)
