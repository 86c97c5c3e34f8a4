import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.readings import Device
from exporter.report.account import Account, Usage
from exporter.report.leaderboard import hardware, standings
from exporter.report.totals import totals
from tests.report.made import account, book, histogram, usage

GPU, OTHER = Device("gpu0", "gpu", model="NVIDIA H100"), Device("gpu1", "gpu", model="NVIDIA A100")
CPU, DRAM = Device("cpu0", "cpu", model="EPYC 9554"), Device("dram0", "dram")


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([GPU, replace(GPU, name="gpu1"), CPU, DRAM], "2 x NVIDIA H100"),
        ([GPU, OTHER], "1 x NVIDIA A100 + 1 x NVIDIA H100"),
        ([CPU, DRAM], "1 x EPYC 9554"),
        ([replace(GPU, model="")], "1 x gpu"),
        ([], ""),
    ],
)
def test_hardware_is_the_gpus_and_where_there_are_none_the_processor(devices: list[Device], words: str) -> None:
    assert hardware(devices) == words


def test_a_row_adds_up_servers_and_places() -> None:
    places = [replace(usage(), place=place, server=server) for place in ("a", "b") for server in ("chat", "code")]
    books = tuple(replace(book(), place=place) for place in ("a", "b"))
    [row] = standings(replace(account(usages=places), books=books))
    assert (row.servers, row.requests, row.output_tokens) == (("chat", "code"), 400, 40_000)
    assert row.joules == pytest.approx(28_000.0)
    assert row.joules_per_request == pytest.approx(70.0)
    assert row.joules_per_output_token == pytest.approx(0.7)


def test_a_device_that_two_servers_share_is_idle_once() -> None:
    shared = [usage(), replace(usage(), server="code")]
    [row] = standings(account(usages=shared))
    assert row.idle_share == pytest.approx(2000.0 / 10_000.0)


def test_two_methods_never_share_a_row() -> None:
    rows = standings(account(usages=[usage(method="measured"), usage(method="estimated")]))
    assert sorted(str(row.method) for row in rows) == ["estimated", "measured"]


def test_engines_and_hardware_have_rows_of_their_own() -> None:
    other = replace(usage(), engine="sglang", server="code")
    elsewhere = replace(usage(), devices=("gpu0", "gpu1"), server="big")
    rows = standings(account(usages=[usage(), other, elsewhere]))
    assert sorted((row.engine, row.hardware[:1]) for row in rows) == [("sglang", "1"), ("vllm", "1"), ("vllm", "2")]


def test_what_costs_least_per_token_stands_first_and_what_is_not_known_last() -> None:
    cheap, dear = usage("cheap", joules=10.0), usage("dear", joules=10_000.0)
    nobody = replace(usage("nobody"), method=None, energy=None, energy_per_output_token=None)
    assert [row.model for row in standings(account(usages=[nobody, dear, cheap]))] == ["cheap", "dear", "nobody"]


def test_tokens_of_requests_without_known_energy_make_no_energy_per_token() -> None:
    half = replace(usage(), energy=histogram(3500.0, 50))
    [row] = standings(account(usages=[half]))
    assert row.joules_per_output_token is None
    assert row.joules_per_request == pytest.approx(70.0)


def test_devices_that_are_not_known_leave_hardware_and_idle_share_unknown() -> None:
    [row] = standings(account(usages=[replace(usage(), devices=())]))
    assert (row.hardware, row.idle_share) == ("", None)


def test_totals_are_the_books_rows() -> None:
    told = totals(account())
    assert told.metered_joules == pytest.approx(15_000.0)
    parts = told.request_joules + told.idle_joules + told.unattributed_joules + told.unsettled_joules
    assert parts == pytest.approx(told.metered_joules)
    assert (told.requests, told.output_tokens, told.methods) == (
        {"ok": 98, "error": 1, "aborted": 1},
        10_000,
        ("measured",),
    )


_usages = st.builds(
    lambda model, server, place, engine, joules, method: replace(
        usage(model, method, joules), server=server, place=place, engine=engine
    ),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["chat", "code"]),
    st.sampled_from(["", "x"]),
    st.sampled_from(["", "vllm"]),
    st.floats(0.0, 1e9),
    st.sampled_from(["measured", "estimated", "time_proxy"]),
)


@given(st.lists(_usages, max_size=8))
def test_joules_of_all_rows_are_the_joules_of_all_usages(usages: list[Usage]) -> None:
    whole: Account = account(usages=usages)
    rows = math.fsum(row.joules or 0.0 for row in standings(whole))
    assert rows == pytest.approx(math.fsum(one.joules or 0.0 for one in usages))
    assert sum(row.requests for row in standings(whole)) == 100 * len(usages)
