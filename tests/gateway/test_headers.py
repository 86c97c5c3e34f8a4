import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from exporter.gateway.headers import HOP_BY_HOP, end_to_end, for_upstream, has_body, is_websocket

NAMES = st.from_regex(r"[A-Za-z][A-Za-z-]{0,8}", fullmatch=True) | st.sampled_from(
    ["Connection", "Set-Cookie", "set-cookie", "Keep-Alive", "TE", "X-A", "x-a"]
)
HEADERS = st.lists(st.tuples(NAMES, st.text("abcXY, -", max_size=12)), max_size=12)


@given(HEADERS)
def test_only_what_is_of_the_connection_is_left_out(pairs: list[tuple[str, str]]) -> None:
    named = {
        name.strip().lower() for key, value in pairs if key.lower() == "connection" for name in value.split(",")
    } - {""}
    expected = [(k.lower(), v) for k, v in pairs if k.lower() not in HOP_BY_HOP | named]
    kept = end_to_end(CIMultiDict(pairs))
    assert [(name.lower(), value) for name, value in kept.items()] == expected


@given(HEADERS)
def test_passing_twice_is_passing_once(pairs: list[tuple[str, str]]) -> None:
    once = end_to_end(CIMultiDict(pairs))
    assert list(end_to_end(once).items()) == list(once.items())


@given(HEADERS)
def test_a_name_is_spelled_in_one_way(pairs: list[tuple[str, str]]) -> None:
    kept = end_to_end(CIMultiDict(pairs))
    assert len(set(kept)) == len({name.lower() for name in kept})


def test_who_asked_is_added_behind_who_asked_before() -> None:
    sent = for_upstream(
        CIMultiDict([("Host", "shop"), ("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]),
        "3.3.3.3",
        "http",
    )
    assert sent.getall("X-Forwarded-For") == ["1.1.1.1, 2.2.2.2, 3.3.3.3"]
    assert sent["X-Forwarded-Proto"] == "http"
    assert sent["X-Forwarded-Host"] == "shop"
    assert "Host" not in sent


def test_what_a_proxy_before_us_said_is_kept() -> None:
    sent = for_upstream(CIMultiDict({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "front"}), None, "http")
    assert dict(sent) == {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "front"}


@pytest.mark.parametrize(
    ("method", "status", "has"),
    [("GET", 200, True), ("HEAD", 200, False), ("GET", 204, False), ("GET", 304, False), ("POST", 500, True)],
)
def test_some_answers_have_no_body(method: str, status: int, has: bool) -> None:  # noqa: FBT001 - a table
    assert has_body(method, status) is has


def test_an_upgrade_counts_if_the_connection_says_so() -> None:
    assert is_websocket(CIMultiDict({"Upgrade": "WebSocket", "Connection": "keep-alive, Upgrade"}))
    assert not is_websocket(CIMultiDict({"Upgrade": "websocket"}))
    assert not is_websocket(CIMultiDict({"Upgrade": "h2c", "Connection": "Upgrade"}))
