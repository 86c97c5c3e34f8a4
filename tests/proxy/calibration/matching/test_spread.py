"""Times are spread unevenly to both sides of what is expected."""

import numpy as np
import pytest

from exporter.proxy.calibration.matching.spread import Spread

UNEVEN = Spread(np.array([1.0]), np.array([0.2]), np.array([0.5]))


def test_as_much_lies_below_the_middle_as_its_side_is_wide_and_all_lies_somewhere() -> None:
    assert UNEVEN.passed(np.array([1.0])) == pytest.approx(0.2 / 0.7)
    assert UNEVEN.passed(np.array([-1e4, 1e4])) == pytest.approx([0.0, 1.0], abs=1e-9)


@pytest.mark.parametrize("at", [0.3, 0.9, 1.1, 3.0])
def test_what_has_passed_grows_by_the_density_less_what_is_everywhere(at: float) -> None:
    everywhere = UNEVEN.density(np.array([1e9]))
    grown = np.diff(UNEVEN.passed(np.array([at - 1e-4, at + 1e-4]))) / 2e-4
    assert (UNEVEN.density(np.array([at])) - everywhere) / 0.98 == pytest.approx(grown, rel=1e-3)


def test_where_nothing_is_expected_all_is_unlikely_and_what_was_not_seen_says_nothing() -> None:
    nothing = Spread(np.array([np.nan]), np.array([np.nan]), np.array([np.nan]))
    assert 0.0 < nothing.density(np.array([1.0])) < 0.01
    assert UNEVEN.density(np.array([np.nan])) == 1.0
