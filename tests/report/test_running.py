"""A running exporter in process, and what its page says."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from exporter.domain.errors import ReportError
from exporter.domain.health import Published
from exporter.metrics.exposition import render
from exporter.report.account import Account
from exporter.report.leaderboard import standings
from exporter.report.sources import running
from exporter.report.sources.running import account_of, read_page
from exporter.report.totals import totals
from exporter.server import build
from tests.metrics.examples import AT, histogram, model_view, nothing_yet, published


def read(shown: Published) -> Account:
    return account_of(read_page(render(shown)[0].decode(), "there"), "there", "the exporter there")


def with_models(**changed: Any) -> Published:
    shown = published()
    return replace(shown, snapshot=replace(shown.snapshot, models=(replace(model_view(), **changed),)))


async def test_a_running_exporter_tells_the_books_that_it_shows() -> None:
    shown = published()
    async with TestServer(build(lambda: shown, lambda: True, lambda _: None)) as server:
        url = str(server.make_url("")).rstrip("/")
        account = await asyncio.to_thread(running.account, url)
        assert account == replace(await asyncio.to_thread(running.account, f"{url}/metrics"), name=url)
    assert (account.name, account.seconds) == (url, 259_200.0)
    for book, view in zip(account.books, shown.snapshot.devices, strict=True):
        assert (book.device.name, book.device.uuid, book.device.model) == (
            view.device.name,
            view.device.uuid,
            view.device.model,
        )
        assert (book.metered_joules, book.booked, book.unsettled_joules) == (
            view.metered_joules,
            view.booked,
            view.unsettled_joules,
        )
        assert book.off_by < 1e-12
    told = totals(account)
    assert told.requests == {"ok": 6}
    assert told.request_joules == 3 * 3500.0
    assert account.intensity_grams_per_kwh == pytest.approx(360.0)
    assert account.pue == 1.2


def test_usages_are_the_models_views_to_the_last_digit() -> None:
    account, view = read(published()), model_view()
    usage = next(one for one in account.usages if one.model == view.model)
    assert (usage.requests, usage.tokens) == (view.requests, view.tokens)
    for mine, shown in (
        (usage.energy, view.energy["measured"]),
        (usage.energy_per_output_token, view.energy_per_output_token["measured"]),
        (usage.duration, view.duration),
        (usage.time_to_first_token, view.time_to_first_token),
    ):
        assert mine is not None
        assert (mine.bounds, mine.counts, mine.sum) == (shown.bounds, shown.counts, shown.sum)
    assert (usage.engine, usage.devices) == ("vllm", ("cpu0", "gpu0", "gpu1"))


def test_what_is_estimated_is_said() -> None:
    assert "The energy of cpu0 is ESTIMATED by a model of the device, not metered." in read(published()).cautions


def test_a_page_that_does_not_say_how_devices_are_metered_is_read_by_its_sources() -> None:
    values = read_page(render(published())[0].decode(), "there")
    older = {series: value for series, value in values.items() if series.name != "llm_device_info"}
    books = account_of(older, "there", "the exporter there").books
    assert {book.device.name: book.device.method for book in books} == {
        "gpu0": "measured",
        "gpu1": "measured",
        "cpu0": "estimated",
    }


def test_energy_that_came_to_be_known_in_two_ways_shares_no_row_and_divides_nothing() -> None:
    energy = model_view().energy["measured"]
    predicted = histogram(energy.bounds, (50.0, "r"), (60.0, "s"))
    account = read(with_models(requests={"ok": 5}, energy={"measured": energy, "time_proxy": predicted}))
    rows = {row.method: row for row in standings(account)}
    assert rows.keys() == {None, "measured", "time_proxy"}
    assert rows["time_proxy"].joules == pytest.approx(110.0)
    assert {row.joules_per_output_token for row in rows.values()} == {None}
    assert totals(account).requests == {"ok": 5}
    assert any("ESTIMATED from time by a calibration" in caution for caution in account.cautions)
    assert not any("no known energy" in caution for caution in account.cautions)


def test_requests_of_which_no_energy_is_known_are_said_to_be_in_no_figure() -> None:
    account = read(with_models(requests={"ok": 7}))
    assert any("Of 7 settled requests 4 have no known energy" in caution for caution in account.cautions)


def test_a_model_that_nobody_asked_has_no_row() -> None:
    nothing = histogram(model_view().duration.bounds)
    view = {"requests": {"ok": 0}, "tokens": {}, "energy": {}, "energy_per_output_token": {}, "duration": nothing}
    assert read(with_models(**view, time_to_first_token=nothing)).usages == ()


def test_an_exporter_in_its_first_moment_has_an_account_without_anything() -> None:
    account = read(nothing_yet())
    assert (account.books, account.usages, account.end) == ((), (), AT)
    assert any("not known" in caution for caution in account.cautions)


def test_a_page_of_somebody_who_counts_otherwise_is_refused() -> None:
    page = render(published())[0].decode().replace('outcome="ok"', 'outcome="fine"')
    with pytest.raises(ReportError, match="says 'fine', which this version does not know"):
        account_of(read_page(page, "there"), "there", "the exporter there")


def test_labels_that_a_scrape_pushed_aside_are_found_again() -> None:
    page = 'llm_device_energy_joules_total{device="host7",exported_device="gpu0",kind="gpu",uuid="u",name="n"} 5\n'
    [series] = read_page(page, "there")
    assert series.labels[0] == "gpu0"
