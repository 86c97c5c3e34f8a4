from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.requests.parts.pyrepr import Key, keys, number_at, string_at, strings_at

_words = st.text(st.characters(), max_size=20) | st.sampled_from(["'rid': 'x'", "rid='evil'", 'a" b', "(", "]}", "\\"])
_values = st.recursive(
    _words | st.integers() | st.floats() | st.none() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)


@dataclass
class Asked:
    text: Any
    rid: str = "abc"
    more: dict[str, Any] = field(default_factory=dict)


@given(_values, st.dictionaries(_words, _values, max_size=3))
def test_nothing_inside_a_string_is_taken_for_a_key(text: object, more: dict[str, Any]) -> None:
    line = f"obj={Asked(text, more=more)!r}, out={ {'meta_info': {'id': 'abc', 'n': 7}, 'more': more}!r}"
    found = list(keys(line, len("obj=")))
    assert [string_at(line, key.at) for key in found if key.depth == 1 and key.name == "rid"] == ["abc"]
    (out,) = [index for index, key in enumerate(found) if key.depth == 0 and key.name == "out"]
    inner = [key for key in found[out:] if key.depth == 2]
    assert [(key.name, number_at(line, key.at)) for key in inner[:2]] == [("id", None), ("n", 7.0)]


def test_keys_come_with_their_depth_and_place() -> None:
    text = "F(a='x', b=None, c={'d': 1.5, 'e': [2, {'f': 'g'}]})"
    assert list(keys(text, 0)) == [
        Key(1, "a", text.index("'x'")),
        Key(1, "c", text.index("{'d'")),
        Key(2, "d", text.index("1.5")),
        Key(2, "e", text.index("[2")),
        Key(4, "f", text.index("'g'")),
    ]


def test_a_cut_string_ends_it() -> None:
    assert [key.name for key in keys("F(a='x', b='cut ..., c=", 0)] == ["a"]


def test_lists_of_strings_are_read_up_to_a_bound() -> None:
    assert strings_at("['a', 'b', 'c'], x=['d']", 0, 10) == ["a", "b", "c"]
    assert strings_at("['a', 'b', 'c']", 0, 2) == ["a", "b"]
    assert strings_at("'a'", 0, 10) == ["a"]
    assert strings_at("None", 0, 10) == []


def test_the_worst_text_is_read_once() -> None:
    for hostile in ("'\\" * 200_000, "'" * 300_001, "(" * 500_000, "a=" * 300_000, "\\'" * 200_000 + "'"):
        assert sum(1 for _ in keys(hostile, 0)) < 100_001
