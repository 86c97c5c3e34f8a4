"""The median, beside numpy's own."""

import numpy as np
import pytest

from exporter.regression.median import median


@pytest.mark.parametrize("values", [[3.0], [4.0, 1.0], [5.0, 1.0, 2.0], [9.0, 1.0, 2.0, 8.0], [2.0, 2.0, 1.0, 7.0]])
def test_it_is_the_middle_one_or_the_mean_of_the_two_in_the_middle(values: list[float]) -> None:
    assert median(np.array(values)) == np.median(values)
