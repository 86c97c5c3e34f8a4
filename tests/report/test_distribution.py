import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.snapshot import HistogramValue
from exporter.report.distribution import merged, quantile
from exporter.report.sources.recorded import finely


def histogram(bounds: Sequence[float], observed: Sequence[float]) -> HistogramValue:
    counts = [0] * (len(bounds) + 1)
    for value in observed:
        counts[sum(bound < value for bound in bounds)] += 1
    return HistogramValue(tuple(bounds), tuple(counts), math.fsum(observed), (None,) * len(counts))


observations = st.lists(st.floats(0.001, 1e5), min_size=1, max_size=50)
bounds = st.lists(st.sampled_from([0.1, 0.5, 1.0, 5.0, 10.0, 100.0, 1e3]), min_size=1, unique=True).map(sorted)


def test_a_quantile_lies_evenly_between_the_bounds_of_its_bucket() -> None:
    assert quantile(histogram([10.0, 20.0], [12.0] * 4), 0.5) == pytest.approx(15.0)


def test_above_the_highest_bound_nobody_knows() -> None:
    assert quantile(histogram([1.0], [0.5, 7.0, 8.0]), 0.95) is None
    assert quantile(histogram([1.0], [0.5, 7.0, 8.0]), 0.2) is not None


def test_of_nothing_there_is_no_quantile_and_no_sum() -> None:
    assert quantile(None, 0.5) is None
    assert quantile(histogram([1.0], []), 0.5) is None
    assert merged([]) is None


def test_empty_buckets_before_the_first_observation_are_passed_by() -> None:
    assert quantile(histogram([1.0, 2.0, 4.0], [3.0]), 0.0) == pytest.approx(2.0)


@given(bounds, observations, st.floats(0.0, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_observation_that_it_is(
    edges: list[float], observed: list[float], part: float
) -> None:
    truth = sorted(observed)[max(math.ceil(part * len(observed)) - 1, 0)]
    found = quantile(histogram(edges, observed), part)
    above = [edge for edge in edges if edge >= truth]
    if not above:
        assert found is None
    else:
        below = max((edge for edge in edges if edge < truth), default=0.0)
        assert found is not None
        assert below * (1 - 1e-12) <= found <= min(above) * (1 + 1e-12)


@given(bounds, observations, bounds, observations)
def test_what_is_merged_is_what_all_observed(
    edges: list[float], observed: list[float], others: list[float], too: list[float]
) -> None:
    whole = merged([histogram(edges, observed), histogram(others, too)])
    assert whole is not None
    assert sum(whole.counts) == len(observed) + len(too)
    assert whole.sum == pytest.approx(math.fsum([*observed, *too]))
    assert whole.counts == histogram(whole.bounds, [*observed, *too]).counts


@given(observations)
def test_fine_buckets_know_a_quantile_to_a_hundredth(observed: list[float]) -> None:
    fine = finely(observed, math.fsum(observed))
    assert sum(fine.counts) == len(observed)
    for part in (0.5, 0.95, 1.0):
        truth = sorted(observed)[math.ceil(part * len(observed)) - 1]
        assert quantile(fine, part) == pytest.approx(truth, rel=0.011)


def test_fine_buckets_hold_what_is_nothing_or_less() -> None:
    assert sum(finely([0.0, -1.0, 3.0], 2.0).counts) == 3


def test_fine_buckets_of_several_recordings_are_merged_without_loss() -> None:
    whole = merged([finely([1.0, 2.0], 3.0), finely([50.0, 60.0], 110.0)])
    assert quantile(whole, 0.5) == pytest.approx(2.0, rel=0.011)
    assert quantile(whole, 1.0) == pytest.approx(60.0, rel=0.011)
