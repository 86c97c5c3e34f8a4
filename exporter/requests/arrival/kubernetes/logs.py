"""Logs of one or several pods as one source of lines."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from math import inf
from typing import Any

import aiohttp

from exporter.domain.lines import Line
from exporter.domain.settings import KubernetesLog, StartAt
from exporter.domain.units import Instant, later
from exporter.requests.arrival import Bounds, Tally
from exporter.requests.arrival.kubernetes.access import access_to
from exporter.requests.arrival.kubernetes.answers import Refusal
from exporter.requests.arrival.kubernetes.podlog import Asker, Pace, PodLog, words_of
from exporter.requests.arrival.kubernetes.pods import find_pods
from exporter.requests.arrival.kubernetes.stamped import Mark

MOST_PODS = 32
"""Followed at once: each may hold a poll's worth of bytes."""


class KubernetesLogs:
    """Follows a pod's log, or those of all pods that a selector finds. See `exporter.requests.arrival.Arrival`.

    The first poll must be made inside a running event loop: the connections are tasks of that loop.

    Args:
        log: which container of which pods.
        start_at: where to begin in a log that is there at the very first look; later pods begin at their beginning.
        bounds: what may be used at most.
        pace: how patient we are.

    Raises:
        ConfigError: as `access_to`.
    """

    ended = False

    def __init__(
        self,
        log: KubernetesLog,
        *,
        start_at: StartAt = "end",
        bounds: Bounds | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._log = log
        self._start_at: StartAt = start_at
        self._bounds = bounds or Bounds()
        self._pace = pace or Pace()
        self._access = access_to(log)
        self._asker = Asker(self._access, log.container, self._bounds, self._pace)
        self._most_pods = min(MOST_PODS, self._bounds.files)
        self._pods: dict[str, PodLog] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._marks: dict[str, Mark] = {}
        self._listing: str | None = None
        self._listed_at: Instant | None = None
        self._task: asyncio.Task[None] | None = None
        self._rest_until = Instant(-inf)
        self._closed = False
        self._now = Instant(-inf)
        self._turn = 0
        self._past: Counter[str] = Counter()
        self._past_bytes = self._past_rotations = self._forgotten = 0
        self.caught_up = False
        self.caught_up_at: Instant | None = None

    # --- Arrival ---------------------------------------------------------------------------------------------------

    def poll(self, now: Instant, wall_offset: float | None) -> list[Line]:
        """Return the lines that have arrived."""
        self._now = now
        if not self._closed:
            self._see_to_the_task()
        lines: list[Line] = []
        room = self._bounds.poll_bytes
        for pod in self._in_turn():
            before = pod.queued
            lines += pod.take(now, wall_offset, room, self._bounds.poll_lines - len(lines))
            room -= before - pod.queued
        self._conclude()
        return lines

    @property
    def tally(self) -> Tally:
        """How reading goes."""
        pods = self._pods.values()
        dropped = sum((pod.lines.dropped + pod.lost for pod in pods), self._past)
        return Tally(
            files=sum(pod.connected for pod in pods),
            bytes=self._past_bytes + sum(pod.bytes for pod in pods),
            rotations=self._past_rotations + sum(pod.lines.anew for pod in pods),
            lag_bytes=sum(pod.queued for pod in pods),
            problems=self._problems(),
            dropped=dict(dropped),
            forgotten=self._forgotten,
        )

    def snapshot(self) -> Mapping[str, Any]:
        """Which stamps were returned last, pod by pod."""
        marks = self._marks | {name: pod.lines.mark for name, pod in self._pods.items() if pod.begun}
        begun = self._start_at == "beginning" or (self._log.pod is not None and bool(marks))
        return {"of": self._identity(), "begun": begun, "pods": {name: mark.json() for name, mark in marks.items()}}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        try:
            marks = {str(name): Mark.read(saved) for name, saved in snapshot["pods"].items()}
            known, begun = list(snapshot["of"]) == self._identity(), bool(snapshot["begun"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        if not known:
            self._forgotten += len(marks)
            return
        self._marks = marks
        if begun:
            self._start_at = "beginning"

    def close(self) -> None:
        """End all connections: at once where their loop is running, else when it runs again."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.cancel()

    # --- polling ---------------------------------------------------------------------------------------------------

    def _see_to_the_task(self) -> None:
        if self._task is None:
            if self._now >= self._rest_until:
                self._task = asyncio.get_running_loop().create_task(self._run())
        elif self._task.cancelled():
            self._closed = True  # the loop is going down
        elif self._task.done():
            task, self._task = self._task, None
            self._rest_until = later(self._now, self._pace.longest)
            for name in list(self._pods):
                self._retire(name)
            task.result()  # a bug of ours is told by whoever polls

    def _in_turn(self) -> list[PodLog]:
        """All logs, another one first at every poll, lest the busiest take all the room."""
        pods = list(self._pods.values())
        self._turn += 1
        first = self._turn % len(pods) if pods else 0
        return pods[first:] + pods[:first]

    def _conclude(self) -> None:
        pods = list(self._pods.values())
        self.caught_up = not any(pod.queued for pod in pods)
        instants = [pod.caught_up_at for pod in pods if pod.wanted or pod.connected]
        if not pods and self._log.pod is None:
            instants = [self._listed_at]
        known = [instant for instant in instants if instant is not None]
        if known and len(known) == len(instants):
            latest = min(known)
            self.caught_up_at = latest if self.caught_up_at is None else max(latest, self.caught_up_at)

    def _problems(self) -> dict[str, str]:
        told = {self._path(name): pod.told for name, pod in self._pods.items()}
        found = {path: words for path, words in told.items() if words is not None}
        return found | ({self._path(None): self._listing} if self._listing is not None else {})

    def _path(self, pod: str | None) -> str:
        what = f"/{pod}" if pod is not None else f"?labelSelector={self._log.selector}"
        container = f" container {self._log.container}" if self._log.container else ""
        return f"kubernetes pods {self._access.namespace}{what}{container}"

    def _identity(self) -> list[str | None]:
        log = self._log
        return [self._access.namespace, log.pod, log.selector, log.container]

    # --- which pods ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._log.pod is not None:
                self._follow(group, self._log.pod)
            else:
                await self._keep_looking(group)

    def _follow(self, group: asyncio.TaskGroup, name: str) -> None:
        log = PodLog(
            self._asker,
            name,
            begin=self._marks.pop(name, self._start_at),
            now=self._now,
            since=self._listed_at,
        )
        self._pods[name] = log
        self._tasks[name] = group.create_task(log.run())

    async def _keep_looking(self, group: asyncio.TaskGroup) -> None:
        """Look for pods now and then, and soon after a log has ended: its pod may have been replaced."""
        wait = self._pace.first
        while True:
            self._asker.ended.clear()
            wait = self._pace.relist if await self._look(group) else min(wait * 2.0, self._pace.relist)
            await asyncio.sleep(min(self._pace.first, wait))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._asker.ended.wait()

    async def _look(self, group: asyncio.TaskGroup) -> bool:
        asked_at = self._now
        try:
            found = await find_pods(self._access, self._log.selector or "", self._log.node)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._listing = words_of(error)
            return False
        if isinstance(found, Refusal):
            self._listing = found.words
            return False
        self._part(set(found))
        self._meet(group, found)
        self._forgotten += len(self._marks)
        self._marks.clear()
        self._listed_at = asked_at
        self._start_at = "beginning"
        return True

    def _meet(self, group: asyncio.TaskGroup, found: Sequence[str]) -> None:
        new = [name for name in found if name not in self._pods]
        room = max(self._most_pods - len(self._pods), 0)
        too_many = f"more than {self._most_pods} pods: the others are not followed, choose a narrower selector"
        self._listing = too_many if len(new) > room else None
        for name in new[:room]:
            self._follow(group, name)

    def _part(self, found: Set[str]) -> None:
        """Let go of what is over; a pod that is no longer found is read to the end of its stream."""
        for name, pod in list(self._pods.items()):
            pod.wanted = name in found
            if pod.finished or not (pod.wanted or pod.connected or pod.queued):
                self._tasks.pop(name).cancel()
                self._retire(name)

    def _retire(self, name: str) -> None:
        pod = self._pods.pop(name)
        if pod.wanted and pod.begun:
            self._marks[name] = pod.lines.mark
        self._past += pod.lines.dropped + pod.lost
        self._past_bytes += pod.bytes
        self._past_rotations += pod.lines.anew
