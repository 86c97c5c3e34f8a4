from dataclasses import replace
from typing import get_args

import pytest

from exporter.domain.readings import Method
from exporter.domain.units import Joules
from exporter.server.receipts import in_words, receipt
from tests.metrics.examples import settled

ESTIMATE = replace(settled(), method="time_proxy", interval=(Joules(61.0), Joules(118.0)))


def test_an_estimates_interval_is_given_with_its_probability() -> None:
    assert receipt(ESTIMATE)["interval"] == {"low_joules": 61.0, "high_joules": 118.0, "probability": 0.9}


def test_an_estimate_says_how_far_off_it_may_be() -> None:
    assert in_words(ESTIMATE) == (
        "88 J, PREDICTED from time by a calibration: nothing was metered. "
        "Nine of ten true values are to lie between 61 J and 118 J."
    )


def test_an_estimate_without_interval_says_that_it_has_none() -> None:
    assert in_words(replace(ESTIMATE, interval=None)).endswith("How far off that may be is not known.")


def test_a_share_says_of_how_many() -> None:
    assert in_words(settled()) == (
        "88 J, measured. It was one of 2.5 at a time on average: this is its share, by the attribution policy."
    )


def test_a_request_alone_but_brief_has_no_meter_of_its_own() -> None:
    assert in_words(replace(settled(), concurrency=1.0)).endswith(
        "too briefly for energy of its own to be told from the rest."
    )


@pytest.mark.parametrize("method", sorted(set(get_args(Method)) - {"measured"}))
def test_whatever_is_not_measured_is_loud_about_it(method: Method) -> None:
    said = in_words(replace(settled(), method=method))
    assert "measured" not in said
    assert any(word.isupper() and len(word) > 3 for word in said.replace(":", "").split())
