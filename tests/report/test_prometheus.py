"""Accounts out of a real Prometheus, of stories whose every joule is known."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from exporter.domain.errors import ReportError
from exporter.domain.units import Joules
from exporter.report.account import Account
from exporter.report.comparison import compare
from exporter.report.leaderboard import standings
from exporter.report.sources import prometheus
from exporter.report.sources.groups import groups
from exporter.report.sources.period import Period
from exporter.report.sources.queries import Api
from exporter.report.sources.series import Target
from exporter.report.sources.standing import Standing, standing
from exporter.report.totals import totals
from exporter.web import OPEN, Web
from tests.metrics.examples import published
from tests.report.remembered import Life, remembering

pytestmark = pytest.mark.e2e

NOON = 1_790_000_040.0
HOUR = 3600.0
EARLIER = NOON - 10 * HOUR
METERED = sum(view.metered_joules for view in published().snapshot.devices)
"""Of a page's devices, in an hour."""


def life(story: str, since: float, until: float, began: float, *, instance: str = "a:9460", scale: float = 1.0) -> Life:
    target = f'story="{story}",job="exporter",instance="{instance}"'
    return Life(target, NOON + since * HOUR, NOON + until * HOUR, began, scale)


RESTART, THIRD = NOON + 1.505 * HOUR, NOON + 1.6 * HOUR + 7.0
LIVES = (
    life("plain", -1.0, 3.0, EARLIER),
    life("two", -1.0, 3.0, EARLIER),
    life("two", -1.0, 3.0, EARLIER + 1.0, instance="b:9460", scale=0.5),
    life("restart", -1.0, 1.5, EARLIER),
    life("restart", 1.52, 3.0, RESTART),
    life("outgrown", -1.0, 1.5, NOON - 1.01 * HOUR),
    life("outgrown", 1.52, 3.0, RESTART, scale=2000.0),
    life("restarts", -1.0, 1.5, EARLIER),
    life("restarts", 1.52, 1.6, RESTART),
    life("restarts", 1.65, 3.0, THIRD),
    life("other model", -1.0, 1.5, EARLIER),
    replace(life("other model", 1.52, 3.0, RESTART), model="qwen3-8b"),
    life("young", 1.0, 3.0, NOON + 0.99 * HOUR),
    life("old", 1.0, 3.0, EARLIER),
    life("old and restarted", 1.0, 1.5, EARLIER),
    life("old and restarted", 1.52, 3.0, RESTART),
    life("flicker", -1.0, 1.5, EARLIER),
    life("flicker", 1.55, 1.55, NOON + 1.54 * HOUR),
    life("flicker", 1.57, 3.0, NOON + 1.56 * HOUR),
    life("gone", -1.0, 1.0, EARLIER),
    life("twice", -1.0, 3.0, EARLIER),
    life("twice", -1.0, 3.0, EARLIER, instance="a:9460 by another name"),
    life("model went", -1.0, 1.5, EARLIER),
    replace(life("model went", 1.52, 3.0, EARLIER), model="qwen3-8b"),
    life("moved", -1.0, 1.0, EARLIER),
    life("moved", 1.1, 3.0, EARLIER, instance="b:9460"),
)


@pytest.fixture(scope="module")
def url(prometheus_program: str, promtool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with remembering(prometheus_program, promtool, tmp_path_factory.mktemp("prometheus"), LIVES) as found:
        yield found


def asked(url: str, story: str, since: float = 0.0, until: float = 2.0) -> Account:
    return prometheus.account(url, NOON + since * HOUR, NOON + until * HOUR, matchers=f'{{story="{story}"}}')


def hours(account: Account) -> float:
    """How many hours of the example page's energy were metered; its books balance."""
    assert max(book.off_by for book in account.books) < 1e-9
    assert sum(book.metered_joules for book in account.books) == pytest.approx(account.metered_joules)
    return account.metered_joules / METERED


def test_a_period_holds_what_was_added_in_it_and_balances(url: str) -> None:
    account = asked(url, "plain")
    assert hours(account) == pytest.approx(2.0)
    assert totals(account).requests == {"ok": 6}
    assert (totals(account).input_tokens, totals(account).output_tokens) == (2400, 1280)
    assert {(book.device.name, book.device.model, book.device.method) for book in account.books} == {
        ("gpu0", "NVIDIA H200", "measured"),
        ("gpu1", "NVIDIA H200", "measured"),
        ("cpu0", "EPYC 9554", "estimated"),
    }
    assert account.intensity_grams_per_kwh == pytest.approx(360.0)
    assert account.pue == 1.2


def test_periods_add_up(url: str) -> None:
    whole, first, second = (asked(url, "plain", *edges) for edges in ((0.2, 2.4), (0.2, 1.3), (1.3, 2.4)))
    for one, *parts in zip(whole.books, first.books, second.books, strict=True):
        assert one.metered_joules == pytest.approx(sum(part.metered_joules for part in parts), rel=1e-12)
        assert one.unsettled_joules == pytest.approx(sum(part.unsettled_joules for part in parts), rel=1e-12)


def test_the_leaderboard_knows_hardware_and_engine(url: str) -> None:
    [row] = standings(asked(url, "plain"))
    assert (row.model, row.hardware, row.engine, row.method) == ("llama-3.1-8b", "2 x NVIDIA H200", "vllm", "measured")
    assert row.joules == pytest.approx(2.0 * 219.5)
    assert row.requests == 6
    assert row.idle_share == pytest.approx(1200.0 / 5000.0)


def test_two_hours_are_as_the_two_after_them(url: str) -> None:
    comparison = compare(asked(url, "plain", 0.0, 1.0), asked(url, "plain", 1.0, 2.0))
    assert [one.ratio for one in comparison.overall if one.unit == "J"] == pytest.approx([1.0] * 4)


def test_two_exporters_are_two_places(url: str) -> None:
    account = asked(url, "two")
    assert hours(account) == pytest.approx(2.0 * 1.5)
    assert {book.place for book in account.books} == {"a:9460", "b:9460"}
    [row] = standings(account)
    assert row.joules == pytest.approx(1.5 * 2.0 * 219.5)


@pytest.mark.parametrize(("story", "scale"), [("restart", 1.0), ("outgrown", 2000.0)])
def test_books_that_began_anew_in_the_middle_are_added_up(url: str, story: str, scale: float) -> None:
    after = NOON + 2.0 * HOUR - RESTART
    last_scrape = after - after % 60.0 + (NOON + 1.52 * HOUR - RESTART) % 60.0
    last_scrape -= 60.0 if last_scrape > after else 0.0
    assert hours(asked(url, story)) == pytest.approx(1.5 + scale * last_scrape / HOUR)
    assert hours(asked(url, story, -0.5, 1.51)) == pytest.approx(2.0)


def test_books_that_began_anew_twice_are_added_up(url: str) -> None:
    second = NOON + 1.6 * HOUR - 12.0 - RESTART
    third = NOON + 2.0 * HOUR - THIRD
    assert hours(asked(url, "restarts")) == pytest.approx(1.5 + (second + third) / HOUR, abs=61.0 / HOUR)
    whole, parts = asked(url, "restarts"), [asked(url, "restarts", *edges) for edges in ((0.0, 1.55), (1.55, 2.0))]
    assert hours(whole) == pytest.approx(sum(map(hours, parts)))


def test_books_too_short_to_be_seen_at_the_steps_of_a_long_period_are_said_to_be_missed(url: str) -> None:
    def missed(since: float) -> bool:
        return any("a:9460: began new books" in caution for caution in asked(url, "flicker", since).cautions)

    assert missed(-400.0), "a step is five minutes, and these books were scraped once"
    assert not missed(-0.5)
    assert hours(asked(url, "flicker", -0.5)) == pytest.approx(2.0 + 0.01 + 0.44, abs=0.02)


def test_a_model_that_only_the_books_before_knew_is_counted_once(url: str) -> None:
    account = asked(url, "other model")
    joules = {one.model: one.joules for one in account.usages}
    assert joules == {"llama-3.1-8b": pytest.approx(1.5 * 219.5), "qwen3-8b": pytest.approx(0.482 * 219.5, rel=0.02)}
    assert sum(book.booked["requests"] for book in account.books) == pytest.approx(hours(account) * 10_500.0)


def test_an_exporter_that_begins_within_the_period_counts_from_zero(url: str) -> None:
    account = asked(url, "young")
    assert hours(account) == pytest.approx(1.01)
    assert not any("missing" in caution for caution in account.cautions)


def test_of_older_books_only_what_came_after_the_first_sample_is_known_and_that_is_said(url: str) -> None:
    account = asked(url, "old")
    assert hours(account) == pytest.approx(1.0)
    [caution] = [one for one in account.cautions if "missing" in one]
    assert "known only from" in caution
    assert hours(asked(url, "old and restarted")) == pytest.approx(0.5 + 0.485, abs=61.0 / HOUR)


def test_an_exporter_that_vanishes_counts_until_its_last_sample(url: str) -> None:
    account = asked(url, "gone")
    assert hours(account) == pytest.approx(1.0)
    assert any("a:9460: not known after" in caution for caution in account.cautions)


def test_an_exporter_that_is_scraped_under_two_names_is_counted_once(url: str) -> None:
    account = asked(url, "twice")
    assert hours(account) == pytest.approx(2.0)
    assert any("1 exporter under two names" in caution for caution in account.cautions)


def test_books_that_moved_to_another_address_are_counted_at_both(url: str) -> None:
    assert hours(asked(url, "moved")) == pytest.approx(1.9)


def test_what_is_not_there_is_said_with_what_is(url: str) -> None:
    with pytest.raises(ReportError, match=r"that fit \{story=\"none\"\}.*it knows a:9460"):
        asked(url, "none")
    with pytest.raises(ReportError, match="it knows a:9460"):
        prometheus.account(url, NOON + 5 * HOUR, NOON + 6 * HOUR)
    with pytest.raises(ReportError, match="does it scrape an exporter"):
        prometheus.account(url, EARLIER - 900 * HOUR, EARLIER - 899 * HOUR)


def test_matchers_that_prometheus_does_not_understand_are_refused_in_its_words(url: str) -> None:
    with pytest.raises(ReportError, match="unterminated quoted string"):
        prometheus.account(url, NOON, NOON + HOUR, matchers='story="')


def test_matchers_may_stand_in_braces_or_not_and_be_several(url: str) -> None:
    plain, apart = 'story="two",instance="b:9460"', '{story="two",} , {instance="b:9460"}'
    for matchers in (plain, f"{{{plain}}}", apart):
        account = prometheus.account(url, NOON, NOON + HOUR, matchers=matchers)
        assert {book.place for book in account.books} == {"b:9460"}


def test_a_period_without_length_is_refused(url: str) -> None:
    with pytest.raises(ReportError, match="has no length"):
        prometheus.account(url, NOON, NOON)


class Counting(Api):
    """Remembers how much was asked."""

    asked = 0

    def _ask(self, endpoint: str, form: Mapping[str, str]) -> Any:
        Counting.asked += 1
        return super()._ask(endpoint, form)


def test_a_model_that_goes_while_its_exporter_stays_is_counted_until_then(url: str) -> None:
    account = asked(url, "model went")
    joules = {one.model: one.joules for one in account.usages}
    assert joules["llama-3.1-8b"] == pytest.approx(1.5 * 219.5)
    assert hours(account) == pytest.approx(2.0, abs=61.0 / HOUR)


def test_few_questions_are_enough_and_groups_say_the_same_as_all_together(url: str) -> None:
    period = Period(Counting(Web(url, OPEN)), NOON, NOON + 2 * HOUR, "")
    exporters = {one.target: one for one in period.exporters()}

    def stood(most: int) -> dict[Target, Standing]:
        parts = [standing(period, [exporters[one] for one in some], those) for some, those in groups(exporters, most)]
        return {target: one for part in parts for target, one in part.items()}

    assert len(exporters) == len({one.target for one in LIVES})
    Counting.asked = 0
    together = stood(100)
    assert Counting.asked < 10
    assert together.keys() == exporters.keys()
    assert stood(1) == together
    assert Counting.asked > 10


def test_how_far_it_has_come_is_told(url: str) -> None:
    parts: list[float] = []
    prometheus.account(url, NOON, NOON + HOUR, watch=parts.append)
    assert parts == [1.0]


def test_the_example_is_what_these_tests_take_it_for() -> None:
    assert Joules(15_000.0) == METERED
    assert replace(published().snapshot, devices=()).models
