"""The dashboards, a file each."""

from grafana.board import Board
from grafana.boards import budgets, fleet, overview, proxy, quality, requests

BOARDS: tuple[Board, ...] = (
    overview.BOARD,
    requests.BOARD,
    proxy.BOARD,
    budgets.BOARD,
    quality.BOARD,
    fleet.BOARD,
)
"""In the order in which a newcomer would open them."""
