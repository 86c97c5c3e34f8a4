"""One recording, several policies: what each made of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from exporter.domain.settings import PolicyName, ProxyName, Settings
from exporter.domain.snapshot import Snapshot
from exporter.recording.entries import Header
from exporter.recording.playing import Moment, Player, pipeline_of
from exporter.recording.recording import Recording
from exporter.replay.columns import (
    BOOK_COLUMNS,
    SCORE_COLUMNS,
    book_row,
    request_columns,
    request_row,
    score_row,
)
from exporter.replay.comparison import Comparison, standings_of
from exporter.replay.export import Export
from exporter.replay.progress import Progress
from exporter.replay.result import PolicyResult, Result

POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)


class Session:
    """The pipelines of a replay, one for each policy, and what is kept of what they say.

    Args:
        recording: to be replayed.
        policies: those to try; the first of them makes the books that are shown. The recorded one is replayed in any
            case: it is the yardstick.
        proxies: to try instead of the recorded ones; None keeps those.
        export: where tables go.
    """

    def __init__(
        self,
        recording: Recording,
        policies: Sequence[PolicyName],
        proxies: tuple[ProxyName, ...] | None,
        export: Export,
    ) -> None:
        header = recording.header
        recorded = header.settings.attribution.policy
        self._recording = recording
        self._chosen = policies[0]
        self._pipelines = {
            policy: pipeline_of(header, _with(header.settings, policy, proxies))
            for policy in dict.fromkeys((recorded, *policies))
        }
        self._player = Player(list(self._pipelines.values()), header.begin)
        self._comparison = Comparison(list(self._pipelines))
        self._in_force = dict.fromkeys(self._pipelines, 0)
        self._export = export
        self._devices = [device.name for device in header.devices]
        self._proxies = header.settings.proxies if proxies is None else proxies
        export.open("requests", request_columns(self._devices, self._proxies))

    def play(self, progress: Progress, *, leave_open: bool) -> Result:
        """Replay all of it."""
        for moment in self._player.play(self._recording):
            self._take(moment)
            progress.show(self._recording.progress)
        if not leave_open:
            self._take(self._player.finish())
        progress.clear()
        result = self._result(self._recording.path, self._recording.header)
        self._write(result)
        return result

    def _take(self, moment: Moment) -> None:
        self._comparison.take(moment.settled)
        for (policy, pipeline), settled in zip(self._pipelines.items(), moment.settled, strict=True):
            if settled:
                self._in_force[policy] += sum(pipeline.servers[one.server].in_force == policy for one in settled)
                rows = (request_row(policy, one, self._devices, self._proxies) for one in settled)
                self._export.add("requests", rows)

    def _result(self, path: Path, header: Header) -> Result:
        snapshots = {name: pipeline.snapshot(self._player.now) for name, pipeline in self._pipelines.items()}
        yardstick = snapshots[self._comparison.policies[0]]
        return Result(
            name=path.name,
            header=header,
            end=self._player.now,
            cut=self._recording.cut,
            faults=self._player.faults,
            policy=self._chosen,
            policies=[self._of(policy, snapshot) for policy, snapshot in snapshots.items()],
            snapshot=snapshots[self._chosen],
            standings=[*self._comparison.standings(), *standings_of(yardstick.proxies)],
            unmatched=self._comparison.unmatched,
        )

    def _of(self, policy: PolicyName, snapshot: Snapshot) -> PolicyResult:
        joules, comparison = self._comparison.joules[policy], self._comparison
        return PolicyResult(
            policy=policy,
            recorded=policy == comparison.policies[0],
            requests=comparison.requests,
            joules=joules,
            moved_share=0.5 * comparison.moved[policy] / joules if joules > 0.0 else 0.0,
            in_force=self._in_force[policy],
            doubts={view.server: view.policy_reason for view in snapshot.servers if view.policy_reason},
        )

    def _write(self, result: Result) -> None:
        self._export.open("books", BOOK_COLUMNS)
        for policy, pipeline in self._pipelines.items():
            self._export.add("books", (book_row(policy, view) for view in pipeline.snapshot(result.end).devices))
        self._export.open("scores", SCORE_COLUMNS)
        self._export.add("scores", map(score_row, result.standings))


def _with(settings: Settings, policy: PolicyName, proxies: tuple[ProxyName, ...] | None) -> Settings:
    attribution = replace(settings.attribution, policy=policy)
    return replace(settings, attribution=attribution, proxies=settings.proxies if proxies is None else proxies)
