import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from exporter.domain.settings import TenantSettings
from exporter.gateway import naming
from exporter.gateway.naming import UniqueIds, new_id, tenant_of, trace_of, valid_id, valid_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize("text", [PARENT, PARENT[:-2] + "00", f"01-{TRACE}-00f067aa0ba902b7-01-more"])
def test_a_valid_traceparent_is_kept_as_it_is(text: str) -> None:
    trace = trace_of(CIMultiDict({"Traceparent": text}))
    assert (trace.header, trace.trace_id, trace.made) == (text, TRACE, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        PARENT.upper(),
        PARENT + "-more",
        PARENT + "\n",
        f" {PARENT}",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-00f067aa0ba902b7-01",
        f"01-{TRACE}-00f067aa0ba902b7-01." + "x",
        f"01-{TRACE}-00f067aa0ba902b7-01-" + "x" * 600,
    ],
)
def test_an_invalid_traceparent_is_replaced(text: str) -> None:
    trace = trace_of(CIMultiDict({"traceparent": text}))
    assert trace.made
    assert valid_traceparent(trace.header) == trace.trace_id


def test_two_traceparents_are_none() -> None:
    assert trace_of(CIMultiDict([("traceparent", PARENT), ("traceparent", PARENT)])).made


def test_a_made_id_is_a_uuid_as_servers_want_it() -> None:
    one = new_id()
    assert str(uuid.UUID(one)) == one
    assert new_id() != one


@pytest.mark.parametrize("text", [None, "", "with space", "tab\t", "ü", "x" * 129, "a\n"])
def test_ids_that_would_hurt_a_log_are_not_taken(text: str | None) -> None:
    assert valid_id(text) is None


@given(st.from_regex(r"[!-~]{1,128}", fullmatch=True))
def test_printable_ids_are_taken(text: str) -> None:
    assert valid_id(text) == text


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_no_two_requests_have_one_id(ids: list[str]) -> None:
    unique = UniqueIds()
    made = [unique.unique(one) for one in ids]
    assert len(set(made)) == len(made)


def test_few_ids_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "_MOST_RECENT", 2)
    unique = UniqueIds()
    assert [unique.unique(one) for one in ("a", "b", "c", "c", "a")] == ["a", "b", "c", "c~2", "a"]


def test_the_header_names_the_tenant() -> None:
    assert tenant_of(CIMultiDict({"x-team": " blue\x07 "}), TenantSettings(header="X-Team")) == "blue"
    assert tenant_of(CIMultiDict({"x-team": "b" * 500}), TenantSettings(header="X-Team")) == "b" * 128
    assert tenant_of(CIMultiDict(), TenantSettings(header="X-Team")) is None


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer sk-1"}, {"authorization": "bearer  sk-1"}, {"X-Api-Key": "sk-1"}, {"api-key": "sk-1"}],
)
def test_a_key_names_the_tenant_by_its_hash(headers: dict[str, str]) -> None:
    expected = f"key-{hashlib.sha256(b'sk-1').hexdigest()[:12]}"
    assert tenant_of(CIMultiDict(headers), TenantSettings(api_key=True)) == expected


def test_a_key_is_looked_at_only_if_it_may_be_and_the_header_goes_first() -> None:
    both = CIMultiDict({"Authorization": "Bearer sk-1", "X-Team": "blue"})
    assert tenant_of(both, TenantSettings()) is None
    assert tenant_of(both, TenantSettings(header="X-Team", api_key=True)) == "blue"
    assert tenant_of(CIMultiDict({"Authorization": "Basic abc"}), TenantSettings(api_key=True)) is None


@given(st.text(st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=40))
def test_no_header_breaks_the_tenant(text: str) -> None:
    headers = CIMultiDict({"X-Team": text, "Authorization": f"Bearer {text}"})
    tenant = tenant_of(headers, TenantSettings(header="X-Team", api_key=True))
    assert tenant is None or (0 < len(tenant) <= 128 and tenant.isprintable())
