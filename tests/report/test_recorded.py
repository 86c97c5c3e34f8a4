"""A recording says what `replay` prints, and what the pipeline that was recorded said."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exporter.domain.errors import RecordingError
from exporter.domain.settings import Settings
from exporter.domain.units import Instant
from exporter.pipeline.pipeline import Pipeline
from exporter.replay import ReplayOptions, replay
from exporter.replay.progress import Progress
from exporter.report.comparison import compare
from exporter.report.distribution import quantile
from exporter.report.leaderboard import standings
from exporter.report.sources import recorded
from exporter.report.totals import totals
from exporter.simulate.load import MIXED
from tests.pipeline.telling import counters, gpus, hear, settings, tell
from tests.recording.recorded import recorded as taped
from tests.simulation.hearing import events
from tests.simulation.scenarios import Scenario, poisson_run

SETTINGS: Settings = replace(settings(), servers=(replace(settings().servers[0], model="m", about={"engine": "x"}),))
RUN = poisson_run(Scenario(mix=MIXED), np.random.default_rng(3), rate=3.0, seconds=40.0)
END = Instant(RUN.end + 10.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of a simulated server on one GPU."""
    path = tmp_path_factory.mktemp("recording") / "r.jsonl.gz"
    with taped(path, SETTINGS, gpus(1), RUN.begin) as pipeline:
        tell(pipeline, counters(RUN), hear(events(RUN)), begin=RUN.begin, end=END, tick_seconds=1.0)
    return path


def test_totals_are_those_that_replay_prints(recording: Path) -> None:
    shown = replay(recording, ReplayOptions(), Progress(io.StringIO())).snapshot
    account = recorded.account(recording)
    [book], [view] = account.books, shown.devices
    assert (book.metered_joules, book.booked, book.unsettled_joules) == (
        view.metered_joules,
        view.booked,
        view.unsettled_joules,
    )
    [usage], [model] = account.usages, shown.models
    assert usage.energy is not None
    assert (usage.energy.sum, usage.tokens) == (model.energy["measured"].sum, model.tokens)
    assert totals(account).requests == {outcome: count for outcome, count in model.requests.items() if count}
    assert (account.begin, account.end, account.name) == (RUN.begin, shown.at, "r.jsonl.gz")
    assert book.off_by < 1e-9


def test_requests_joules_are_the_books(recording: Path) -> None:
    account = recorded.account(recording)
    [row] = standings(account)
    assert row.joules == pytest.approx(totals(account).request_joules, rel=1e-9)
    assert (row.model, row.engine, row.hardware) == ("m", "x", "1 x gpu")


def test_quantiles_are_those_of_the_requests_to_a_hundredth(recording: Path) -> None:
    [usage] = recorded.account(recording).usages
    truth = np.array([one.end - one.start for one in RUN.served])
    for part in (0.5, 0.95):
        assert quantile(usage.duration, part) == pytest.approx(np.quantile(truth, part, method="higher"), rel=0.03)


def test_an_account_beside_itself_changed_in_nothing(recording: Path) -> None:
    account = recorded.account(recording)
    comparison = compare(account, account)
    assert {one.ratio for one in comparison.overall} <= {1.0, None}


def test_books_that_were_taken_up_are_in_it_since_they_began(tmp_path: Path) -> None:
    first = Pipeline(SETTINGS, gpus(1), RUN.begin)
    half = Instant(RUN.begin + 20.0)
    tell(first, counters(RUN), hear(events(RUN)), begin=RUN.begin, end=half)
    store = {key: value for key, value in first.checkpoint(set(), last=True).items() if value is not None}
    with taped(tmp_path / "r", SETTINGS, gpus(1), half) as second:
        second.restore(store)
        tell(second, counters(RUN), begin=half, end=Instant(half + 10.0))
    account = recorded.account(tmp_path / "r")
    assert account.begin == RUN.begin
    assert account.metered_joules > first.snapshot(half).devices[0].metered_joules > 0.0
    assert any("goes on with earlier books" in caution for caution in account.cautions)
    [usage] = account.usages
    assert usage.duration is not None
    assert usage.duration.bounds == SETTINGS.buckets.duration


def test_a_cut_recording_says_so(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(recording.read_bytes()[:-2000])
    assert any("was cut off after line" in one for one in recorded.account(tmp_path / "cut").cautions)


def test_progress_is_told_to_whoever_watches(recording: Path) -> None:
    told: list[float] = []
    recorded.account(recording, watch=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no recording")
    with pytest.raises(RecordingError):
        recorded.account(tmp_path / "log")
