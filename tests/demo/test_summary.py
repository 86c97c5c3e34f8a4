from dataclasses import replace

import pytest

from exporter.demo.load import ClientFact
from exporter.demo.summary import Result, imbalance, summary
from exporter.domain.snapshot import Snapshot
from exporter.domain.units import Instant, Joules
from tests.demo.books import books, device_view

FACTS = (
    ClientFact("alone", Instant(0), Instant(1), "ok", output_tokens=10),
    ClientFact("together", Instant(2), Instant(4), "ok", output_tokens=10),
    ClientFact("together", Instant(3), Instant(4), "aborted"),
)
_SHARES = ["36.0%", "-4.0%", "0.62", "5"]


def told(snapshot: Snapshot | None = None, url: str | None = None) -> str:
    return summary(Result("tiny", snapshot or books(), FACTS, url))


def row(text: str, label: str) -> str:
    [line] = [line for line in text.splitlines() if line.strip().startswith(f"{label}  ")]
    return line


def test_an_estimate_is_loudly_an_estimate() -> None:
    assert "!! ESTIMATED !!" in told()


def test_a_measurement_is_not_called_an_estimate() -> None:
    text = told(books(device_view("measured")))
    assert "ESTIMATE" not in text
    assert "the energy counter of cpu0 Some Processor" in text


def test_requests_are_counted_by_outcome_beside_what_the_clients_saw() -> None:
    assert "2 ok, 1 aborted   (clients saw 2 ok, 1 aborted)" in row(told(), "requests")


def test_joules_per_request_have_mean_least_and_most() -> None:
    line = row(told(), "joules per request")
    assert "mean 20.00" in line
    assert "min 10.00" in line
    assert "max 30.00" in line


def test_only_requests_without_company_ran_alone() -> None:
    assert "mean 10.00" in row(told(), "of those that ran alone")


def test_joules_per_output_token_leave_out_requests_of_unknown_length() -> None:
    assert row(told(), "joules per output token").endswith(" 2.000")


def test_the_books_are_shown_to_add_up() -> None:
    line = row(told(), "cpu0")
    assert all(amount in line for amount in ("100.00", "60.00", "30.00", "4.00", "6.00"))
    assert line.endswith("0e+00")


def test_what_unsettled_means_is_said_where_there_is_some() -> None:
    closed = replace(device_view(), unsettled_joules=Joules(0.0))
    assert "news about its requests may still come" in told()
    assert "news about its requests may still come" not in told(books(closed))


@pytest.mark.parametrize(("metered", "expected"), [(100.0, 0.0), (200.0, 0.5), (0.0, 0.0)])
def test_imbalance_is_relative_to_what_was_metered(metered: float, expected: float) -> None:
    assert imbalance(device_view(metered=metered)) == expected


def test_the_page_is_named_only_while_it_is_there() -> None:
    assert "http://127.0.0.1:9/metrics" in told(url="http://127.0.0.1:9")
    assert "http://" not in told()
    assert "demo --keep" in told()


def test_books_without_any_request_still_read() -> None:
    empty = Snapshot(Instant(0), (), (), ())
    assert "joules per request" in told(empty)
    assert "No proxy has predicted anything yet." in told(empty)


def test_proxies_are_scored_under_their_question() -> None:
    text = told()
    assert "How far does time stand in for energy here?" in text
    assert row(text, "step_model").split()[1:] == ["-", "-", "-", "0", *["36.0%", "-4.0%", "0.62", "2"], *_SHARES]


def test_windows_have_the_length_that_was_scored() -> None:
    assert "windows of 5 s" in summary(Result("tiny", books(), FACTS, window_seconds=5.0))


def test_scores_on_an_estimate_are_said_to_be_no_measurement() -> None:
    question = "How far does time stand in for energy here?"
    assert "!! ESTIMATED !! energy here is a model" in told().split(question)[1]
    assert "ESTIMATED" not in told(books(device_view("measured"))).split(question)[1]


def test_no_line_is_wider_than_a_hundred_columns_or_coloured() -> None:
    text = told(url="http://127.0.0.1:65535")
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
