"""Counts of settled requests."""

import json
from dataclasses import replace

import pytest

from exporter.domain.settings import BucketSettings
from exporter.domain.snapshot import Exemplar, SettledRequest
from exporter.domain.units import Instant, Joules
from exporter.pipeline.tally import Histogram, Tally

ONE = SettledRequest(
    server="chat",
    model="tiny",
    id="a",
    start=Instant(10.0),
    end=Instant(14.0),
    outcome="ok",
    method="measured",
    joules=Joules(30.0),
    joules_by_device={"gpu0": Joules(30.0)},
    late_joules=Joules(0.0),
    prompt_tokens=100,
    output_tokens=20,
    time_to_first_token_seconds=0.5,
    queued_seconds=1.0,
)


def a_tally() -> Tally:
    return Tally("chat", "tiny", BucketSettings())


def test_a_value_on_a_bound_falls_into_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe([0.5, 1.0, 1.5, 2.0, 9.0], [ONE] * 5)
    value = histogram.value()
    assert value.counts == (2, 2, 1)
    assert value.sum == pytest.approx(14.0)


def test_each_bucket_keeps_its_latest_request() -> None:
    histogram = Histogram((1.0,))
    histogram.observe([0.5, 0.7], [ONE, replace(ONE, id="b", trace_id="0af7651916cd43dd8448eb211c80319c")])
    histogram.observe([], [])
    latest = Exemplar("b", 0.7, Instant(14.0), "0af7651916cd43dd8448eb211c80319c")
    assert histogram.value().exemplars == (latest, None)


def test_requests_and_tokens_are_counted_by_outcome_and_direction() -> None:
    tally = a_tally()
    tally.add([ONE, replace(ONE, outcome="aborted", prompt_tokens=None, output_tokens=None)])
    view = tally.view()
    assert view.requests == {"ok": 1, "error": 0, "aborted": 1}
    assert view.tokens == {"input": 100, "output": 20}


def test_energy_is_kept_apart_by_how_it_is_known() -> None:
    tally = a_tally()
    tally.add([ONE, replace(ONE, method="estimated", joules=Joules(5.0)), replace(ONE, joules=Joules(50.0))])
    view = tally.view()
    assert {method: histogram.sum for method, histogram in view.energy.items()} == {"measured": 80.0, "estimated": 5.0}


def test_energy_by_output_token_is_only_of_requests_that_had_some() -> None:
    tally = a_tally()
    tally.add([ONE, replace(ONE, output_tokens=0), replace(ONE, output_tokens=None)])
    per_token = tally.view().energy_per_output_token["measured"]
    assert (sum(per_token.counts), per_token.sum) == (1, 1.5)


def test_durations_include_the_queue() -> None:
    tally = a_tally()
    tally.add([ONE])
    assert tally.view().duration.sum == 5.0


def test_an_unknown_first_token_is_not_observed_but_an_instant_one_is() -> None:
    tally = a_tally()
    tally.add([ONE, replace(ONE, time_to_first_token_seconds=None), replace(ONE, time_to_first_token_seconds=0.0)])
    first = tally.view().time_to_first_token
    assert (sum(first.counts), first.sum) == (2, 0.5)


def test_counts_survive_a_restart_and_exemplars_need_not() -> None:
    before, after = a_tally(), a_tally()
    before.add([ONE])
    before.phases["prefill"] += 10.0
    after.restore(json.loads(json.dumps(before.snapshot())))
    assert after.snapshot() == before.snapshot()
    assert after.view().requests == before.view().requests


def test_with_other_buckets_a_histogram_begins_anew() -> None:
    before, after = a_tally(), Tally("chat", "tiny", BucketSettings(energy=(1.0, 2.0)))
    before.add([ONE])
    after.restore(before.snapshot())
    assert sum(after.view().energy["measured"].counts) == 0
    assert after.view().requests["ok"] == 1
