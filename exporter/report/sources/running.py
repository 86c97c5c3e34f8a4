"""A running exporter, asked for its page: all that was booked since its books began."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from exporter.domain.errors import ReportError
from exporter.metrics.catalogue import budgets, itself
from exporter.report.account import Account
from exporter.report.sources.booked import books_on, usages_on
from exporter.report.sources.cautions import cautions_on
from exporter.report.sources.series import LABELS, Page, Values, series_of
from exporter.web import OPEN, Access, Web

_PATH = "/metrics"
_JOULES_PER_KWH = 3.6e6


def account(url: str, *, access: Access = OPEN, name: str = "") -> Account:
    """What a running exporter has booked since its books began.

    Args:
        url: of the exporter (`http://localhost:9460`), with or without `/metrics`.
        access: how to be let in.
        name: of the account; the URL without one.

    Raises:
        ReportError: nobody answers there, or no exporter of ours does.
        UsageError: the URL is none.
    """
    web = Web(url.rstrip("/").removesuffix(_PATH), access)
    answer = web.ask(_PATH)
    if not answer.good:
        raise ReportError(f"{web.url}{_PATH} answered {answer.status}: is llm-energy-exporter running there?")
    return account_of(read_page(answer.text, web.url + _PATH), name or web.url, f"the exporter at {web.url}")


def read_page(text: str, where: str) -> Values:
    """The series of a page in Prometheus' text format.

    Raises:
        ReportError: it is no such page, or none of ours.
    """
    try:
        values = {
            series_of(sample.name, sample.labels): float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in LABELS
        }
    except (ValueError, LookupError) as error:
        raise ReportError(f"{where} is no page of metrics: is llm-energy-exporter running there?") from error
    if not values:
        raise ReportError(f"{where} holds no metrics of llm-energy-exporter: is the address right?")
    return values


def account_of(values: Values, name: str, origin: str) -> Account:
    """The account that a page is.

    Raises:
        ReportError: the page is of a version that does not say when it was made.
    """
    page = Page("", values)
    end, began = page.latest(itself.SNAPSHOT_TIME), page.latest(itself.BOOKS_START)
    if end is None:
        raise ReportError(f"{origin} does not say when its books were made: is it llm-energy-exporter?")
    books, usages = tuple(books_on(page)), tuple(usages_on(page))
    intensity = page.latest(budgets.CARBON_INTENSITY)
    return Account(
        name=name,
        origin=origin,
        begin=end if began is None else began,
        end=end,
        books=books,
        usages=usages,
        intensity_grams_per_kwh=None if intensity is None else intensity * _JOULES_PER_KWH,
        pue=page.latest(budgets.PUE),
        cautions=(*_age(began), *cautions_on(books, usages)),
    )


def _age(began: float | None) -> Iterator[str]:
    if began is None:
        yield "When these books began is not known: they were begun by an older version, and the period has no length."
