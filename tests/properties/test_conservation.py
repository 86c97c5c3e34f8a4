"""The books balance and nobody is given what is not there, whatever readings and news say."""

import math

from hypothesis import given
from hypothesis import strategies as st

from exporter.domain.settings import IdleRule, PolicyName
from exporter.domain.units import later
from exporter.pipeline.pipeline import Pipeline
from tests.pipeline.telling import imbalance
from tests.properties import PROPERTIES
from tests.properties.tales import BEGIN, Tale, a_pipeline, tales, tell

_policies = st.sampled_from(["time", "tokens", "steps"])
_idle = st.sampled_from(["active", "exclude"])


def _check_books(pipeline: Pipeline, at: float) -> None:
    snapshot = pipeline.snapshot(later(BEGIN, at))
    assert imbalance(snapshot) < 1e-9
    for view in snapshot.devices:
        assert min(view.booked.values()) >= -1e-9 * max(view.metered_joules, 1.0)
        assert view.unsettled_joules >= -1e-9 * max(view.metered_joules, 1.0)
        assert math.isfinite(view.metered_joules)
    for one in snapshot.recent:
        assert min(one.joules_by_device.values()) >= 0.0
        assert one.late_joules >= 0.0


@PROPERTIES
@given(tales(), _policies, _idle)
def test_every_joule_has_a_row_after_everything_that_is_told(tale: Tale, policy: PolicyName, idle: IdleRule) -> None:
    pipeline = a_pipeline(policy, idle)
    for one in tale:
        tell(pipeline, one)
        _check_books(pipeline, one.at)
    pipeline.finish(later(BEGIN, tale[-1].at))
    _check_books(pipeline, tale[-1].at)


@PROPERTIES
@given(tales(), _policies, _idle)
def test_two_pipelines_told_the_same_say_the_same_to_the_last_bit(
    tale: Tale, policy: PolicyName, idle: IdleRule
) -> None:
    first, second = a_pipeline(policy, idle), a_pipeline(policy, idle)
    for one in tale:
        tell(first, one)
        tell(second, one)
    now = later(BEGIN, tale[-1].at)
    assert first.snapshot(now) == second.snapshot(now)
    first.finish(now)
    second.finish(now)
    assert first.snapshot(now) == second.snapshot(now)
