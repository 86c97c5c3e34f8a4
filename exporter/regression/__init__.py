"""Least squares with coefficients that cannot be negative, learned a row at a time."""

from exporter.regression.nonnegative import NonNegativeFit
from exporter.regression.robust import RobustFit

__all__ = ["NonNegativeFit", "RobustFit"]
