"""Checks on a sensor: how often it changes, and whether its counter agrees with its power."""

from collections import deque

from exporter.ledger.patience import HOLE_SECONDS

_CHECK_SECONDS = 60.0


class Period:
    """How often a value changes, as far as polling can tell: polls must be finer than the changes to count them.

    Args:
        look_seconds: changes that were not looked for so long beforehand are not counted.
        always_new: the value is only told when it is new, so that every telling is a change.
    """

    def __init__(self, look_seconds: float = HOLE_SECONDS, *, always_new: bool = False) -> None:
        self._look = look_seconds
        self._always_new = always_new
        self._enough = 7 if look_seconds <= HOLE_SECONDS else 3
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
        if before is not None and (self._always_new or (since is not None and at - since <= self._look)):
            self._gaps.append(self._changed - before)
            self._estimate()

    def _estimate(self) -> None:
        """Mean of the gaps that miss no change."""
        if len(self._gaps) < self._enough:
            return
        middle = sorted(self._gaps)[len(self._gaps) // 2]
        whole = [gap for gap in self._gaps if gap <= 1.6 * middle]
        self.seconds = sum(whole) / len(whole)


class CounterCheck:
    """The counter beside integrated power, over the latest minute, or `check_seconds`."""

    def __init__(self, check_seconds: float = _CHECK_SECONDS) -> None:
        self._check_seconds = check_seconds
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
        while at - self._marks[0][0] > self._check_seconds + 1.0:
            self._marks.popleft()
        self._judge()

    def _judge(self) -> None:
        (t0, c0, p0), (t1, c1, p1) = self._marks[0], self._marks[-1]
        self.seconds = t1 - t0
        if self.seconds >= self._check_seconds / 6.0 and p1 > p0:
            self.ratio = (c1 - c0) / (p1 - p0)

    def within(self, bounds: tuple[float, float]) -> bool | None:
        """Whether the latest full minute lies within these bounds; None without one."""
        if self.ratio is None or self.seconds < self._check_seconds - 1.0:
            return None
        return bounds[0] <= self.ratio <= bounds[1]
