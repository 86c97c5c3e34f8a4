"""Checks on a sensor: how often it changes, and whether its counter agrees with its power."""

from collections import deque

from exporter.ledger.integral import HOLE_SECONDS

_CHECK_SECONDS = 60.0
"""The counter is judged on this much time."""


class Period:
    """How often a value changes, as far as polling can tell: polls must be finer than the changes to count them."""

    def __init__(self) -> None:
        self._gaps: deque[float] = deque(maxlen=63)
        self._changed: float | None = None
        self._unchanged: float | None = None
        self.seconds: float | None = None

    def see(self, at: float, *, changed: bool) -> None:
        """The value was polled at this instant."""
        if not changed:
            self._unchanged = at
            return
        before, since = self._changed, self._unchanged
        self._changed = at if since is None else 0.5 * (at + since)
        self._unchanged = None
        if before is not None and since is not None and at - since <= HOLE_SECONDS:
            self._gaps.append(self._changed - before)
            self._estimate()

    def _estimate(self) -> None:
        """Mean of the gaps that miss no change."""
        if len(self._gaps) < 7:
            return
        middle = sorted(self._gaps)[len(self._gaps) // 2]
        whole = [gap for gap in self._gaps if gap <= 1.6 * middle]
        self.seconds = sum(whole) / len(whole)


class CounterCheck:
    """The counter beside integrated power, over the latest minute."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float, float]] = deque()
        self.ratio: float | None = None
        self.seconds = 0.0

    def mark(self, at: float, counter: float, integral: float | None) -> None:
        """Note both at a moment when the counter stepped; about once a second is kept."""
        if integral is None or (self._marks and (integral < self._marks[-1][2] or counter < self._marks[-1][1])):
            self._marks.clear()
            self.seconds = 0.0
        if integral is None or (self._marks and at - self._marks[-1][0] < 1.0):
            return
        self._marks.append((at, counter, integral))
        while at - self._marks[0][0] > _CHECK_SECONDS + 1.0:
            self._marks.popleft()
        self._judge()

    def _judge(self) -> None:
        (t0, c0, p0), (t1, c1, p1) = self._marks[0], self._marks[-1]
        self.seconds = t1 - t0
        if self.seconds >= 10.0 and p1 > p0:
            self.ratio = (c1 - c0) / (p1 - p0)

    def within(self, bounds: tuple[float, float]) -> bool | None:
        """Whether the latest full minute lies within these bounds; None without one."""
        if self.ratio is None or self.seconds < _CHECK_SECONDS - 1.0:
            return None
        return bounds[0] <= self.ratio <= bounds[1]
