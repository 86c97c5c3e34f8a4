"""What all plots have in common, those of a validation too."""

from collections.abc import Mapping
from typing import Any

INK, FAINT, GRID, ALARM = "#222222", "#666666", "#dddddd", "#c1121f"
"""Text and lines, lesser ones, grids; and red, for what was not measured."""

HOUSE: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "xtick.color": FAINT,
    "text.color": INK,
    "legend.frameon": False,
}
"""Settings of matplotlib."""
