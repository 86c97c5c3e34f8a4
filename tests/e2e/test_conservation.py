"""Every joule has a row and every request is counted once, whatever happens: told by the whole exporter over HTTP.

A simulated server whose every joule is known writes its log; fake boards draw its power; the real exporter, sampler
thread, followers, state directory and all, reads both on a clock twenty times as fast, and only its pages are asked.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from exporter.simulate.batching import Run
from tests.e2e.performance import Told, imbalance, perform
from tests.e2e.stories import LOST_FRACTION, STORIES
from tests.fakes.nvml import build

pytestmark = pytest.mark.e2e

AT_ONCE = 3
"""An exporter and its story take a quarter of a core; many more at once would make lines late on a busy machine."""

PLAIN = [name for name in STORIES if name.startswith("plain ")]
KILLED = [name for name in STORIES if name.startswith("killed ")]
DAMAGED = [name for name in STORIES if name.startswith("damaged ")]
FAULTY = [name for name in STORIES if name.startswith("sensor ")]
UNHARMED_LOG = [name for name in STORIES if not name.startswith(("damaged ", "doubled "))]
COUNTER_ALL_ALONG = [name for name in STORIES if name not in ("sensor reset", "sensor stuck")]

ROUNDING = 1e-9
METERED_TOLERANCE = 0.005
"""Books are as old as the last checkpoint, and energy as the last second; the rest is polling."""
BRIDGED_TOLERANCE = 0.01
"""Where power has to stand in for the counter: sampled, not integrated."""
ATTRIBUTED_TOLERANCE = 0.02
UNATTRIBUTED_TOLERANCE = 0.001


@pytest.fixture(scope="session")
def tell(
    pytestconfig: pytest.Config, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Told]]:
    """Performs the stories that the chosen tests are about, some at once."""
    if shutil.which("gcc") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the fake NVML is C and there is no gcc")
    assert pytestconfig.cache is not None
    library = build(pytestconfig.cache.mkdir("fake-nvml"))
    # Built beforehand: a simulation keeps the interpreter busy, and then log lines come late.
    stories = {name: STORIES[name]() for name in _wanted(request.session)}
    pool = ThreadPoolExecutor(AT_ONCE)
    folders = {name: tmp_path_factory.mktemp(name.replace(" ", "-")) for name in stories}
    performances = {name: pool.submit(perform, story, library, folders[name]) for name, story in stories.items()}
    yield lambda name: performances[name].result()
    pool.shutdown(cancel_futures=True)


def _wanted(session: pytest.Session) -> list[str]:
    """The stories of all chosen tests, each once."""
    calls = (getattr(item, "callspec", None) for item in session.items)
    names = (str(call.params["told"]) for call in calls if call is not None and "told" in call.params)
    return [name for name in dict.fromkeys(names) if name in STORIES]  # others tell of something, too


@pytest.fixture
def told(tell: Callable[[str], Told], request: pytest.FixtureRequest) -> Told:
    return tell(request.param)


def stories(*names: str | ParameterSet) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("told", names, indirect=True)


# --- whatever happens --------------------------------------------------------------------------------------------


@stories(*STORIES)
def test_the_books_balance_at_every_scrape(told: Told) -> None:
    assert len(told.pages) > 5
    assert max(imbalance(page) for page in told.pages) < ROUNDING


@stories(*STORIES)
def test_no_counter_of_the_books_ever_goes_back_or_vanishes(told: Told) -> None:
    assert told.setbacks() == []


@stories(*STORIES)
def test_no_bug_is_survived_and_no_state_is_distrusted(told: Told) -> None:
    for page in told.pages:
        assert page.sum("llm_energy_exporter_faults_total") == 0
        assert page.sum("llm_energy_exporter_checkpoint_failures_total") == 0
    assert told.errors == "" or told.story.gpus[0].faults


@stories(*COUNTER_ALL_ALONG)
def test_the_meter_tells_what_each_board_drew(told: Told) -> None:
    for index in range(len(told.story.gpus)):
        metered = told.last.sum("llm_device_energy_joules_total", device=f"gpu{index}")
        assert metered == pytest.approx(told.true_joules(index), rel=METERED_TOLERANCE)


@stories(*UNHARMED_LOG)
def test_each_request_is_counted_once_by_its_outcome(told: Told) -> None:
    assert _counted(told) == _served(told)


@stories(*UNHARMED_LOG)
def test_each_request_is_observed_once_in_every_histogram(told: Told) -> None:
    requests = sum(_served(told).values())
    assert told.last.sum("llm_request_energy_joules_count") == requests
    assert told.last.sum("llm_request_duration_seconds_count") == requests


@stories(*STORIES)
def test_what_requests_were_given_is_what_was_booked_to_them(told: Told) -> None:
    given = told.last.sum("llm_request_energy_joules_sum")
    assert given == pytest.approx(told.last.sum("llm_energy_joules_total", share="requests"), rel=ROUNDING)


@stories(*UNHARMED_LOG)
def test_requests_are_given_what_the_steps_cost(told: Told) -> None:
    assert _requests_joules(told) == pytest.approx(_busy_joules(told), rel=ATTRIBUTED_TOLERANCE)


@stories(*UNHARMED_LOG)
def test_hardly_anything_remains_unattributed(told: Told) -> None:
    metered = told.last.sum("llm_device_energy_joules_total")
    assert told.last.sum("llm_energy_joules_total", share="unattributed") < UNATTRIBUTED_TOLERANCE * metered


# --- logs that are rotated ---------------------------------------------------------------------------------------


@stories("rotated llamacpp")
def test_every_rotation_was_seen(told: Told) -> None:
    [server] = told.story.servers
    assert told.last.sum("llm_energy_exporter_log_rotations_total") == len(server.rotations)


# --- deaths ------------------------------------------------------------------------------------------------------


@stories(*KILLED)
def test_energy_of_the_downtime_comes_from_the_counter_and_says_so(told: Told) -> None:
    down = [
        told.boards.true_joules(0, begin - run.begin, begin + kill.down_seconds - run.begin)
        for run in _runs(told)
        for kill in told.story.kills
        for begin in [kill.at]
    ]
    assert told.last.sum("llm_energy_exporter_interpolated_joules_total") > 0.99 * sum(down)
    assert told.last.sum("llm_energy_exporter_gap_seconds_total") == 0


@stories(*KILLED)
def test_requests_did_end_while_the_exporter_was_down(told: Told) -> None:
    """Or the count of requests would prove nothing."""
    for kill in told.story.kills:
        ends = [one.end for run in _runs(told) for one in run.served]
        assert sum(kill.at < end < kill.at + kill.down_seconds for end in ends) > 5


@stories(*KILLED)
def test_nothing_is_heard_twice_after_a_restart(told: Told) -> None:
    assert told.last.sum("llm_energy_exporter_duplicates_total") == 0
    assert told.last.sum("llm_energy_exporter_orphans_total") == 0


# --- logs that lose lines ----------------------------------------------------------------------------------------


@stories(*DAMAGED)
def test_requests_whose_lines_were_lost_leave_unattributed_energy_that_is_reported(told: Told) -> None:
    """A request whose end is lost withholds its share for as long as it is believed to run."""
    metered = told.last.sum("llm_device_energy_joules_total")
    unattributed = told.last.sum("llm_energy_joules_total", share="unattributed")
    lost = told.last.sum("llm_energy_exporter_closings_total", how="timeout")
    lost += told.last.sum("llm_energy_exporter_orphans_total")
    [run] = _runs(told)
    one_share = run.busy_joules / run.busy_seconds / run.mean_batch
    assert lost > 0
    longest = max(one.end - one.start for one in run.served)
    assert UNATTRIBUTED_TOLERANCE * metered < unattributed < 2.0 * lost * longest * one_share


@stories(*DAMAGED)
def test_what_is_known_is_given_no_more_than_it_cost(told: Told) -> None:
    known = _requests_joules(told) + told.last.sum("llm_energy_joules_total", share="unattributed")
    assert _requests_joules(told) < _busy_joules(told)
    assert known < (1 + ATTRIBUTED_TOLERANCE) * _busy_joules(told)


@stories(*DAMAGED)
def test_most_requests_are_still_counted(told: Told) -> None:
    served, counted = sum(_served(told).values()), sum(_counted(told).values())
    assert counted == pytest.approx(served, rel=5 * LOST_FRACTION)


@stories("doubled nginx", "doubled llamacpp", "doubled vllm")
def test_lines_that_come_twice_add_no_request(told: Told) -> None:
    assert told.last.sum("llm_energy_exporter_duplicates_total") > 0
    assert sum(_counted(told).values()) == sum(_served(told).values())


# --- sensors that fail -------------------------------------------------------------------------------------------


@stories("sensor lost")
def test_energy_while_the_gpu_was_lost_comes_from_its_counter_afterwards(told: Told) -> None:
    assert told.last.sum("llm_energy_exporter_interpolated_joules_total") > 0
    assert told.last.sum("llm_energy_exporter_sample_errors_total", reason="gpu_is_lost") > 0


@stories("sensor reset", "sensor stuck")
def test_power_stands_in_where_the_counter_fails(told: Told) -> None:
    metered = told.last.sum("llm_device_energy_joules_total")
    assert metered == pytest.approx(told.true_joules(0), rel=BRIDGED_TOLERANCE)


@stories("sensor reset")
def test_a_reset_counter_is_reported(told: Told) -> None:
    assert told.last.sum("llm_energy_exporter_meter_resets_total") == 1


@stories("sensor stuck")
def test_a_stuck_counter_is_left_and_taken_up_again(told: Told) -> None:
    in_use = [page.sum("llm_energy_exporter_meter_in_use") for page in told.pages]
    assert 0.0 in in_use
    assert in_use[-1] == 1.0


# --- several of them ---------------------------------------------------------------------------------------------


@stories("two gpus")
def test_each_board_gives_requests_what_it_drew_for_them(told: Told) -> None:
    [run] = _runs(told)
    for index, share in enumerate(run.physics.gpu_shares):
        given = told.last.sum("llm_energy_joules_total", share="requests", device=f"gpu{index}")
        assert given == pytest.approx(run.busy_joules * share, rel=ATTRIBUTED_TOLERANCE)


@stories("two servers")
def test_servers_on_one_board_share_its_energy_by_what_they_do(told: Told) -> None:
    """The joules beyond static power are each server's own; static power is shared by those who run."""
    for server in told.story.servers:
        given = told.last.sum("llm_request_energy_joules_sum", server=server.name)
        dynamic = server.run.busy_joules - server.run.physics.idle_watts * server.run.busy_seconds
        assert 0.5 * dynamic < given < 1.5 * server.run.busy_joules


# --- the truth ---------------------------------------------------------------------------------------------------


def _runs(told: Told) -> list[Run]:
    return [server.run for server in told.story.servers]


def _served(told: Told) -> Counter[tuple[str, str]]:
    return Counter((server.name, one.outcome) for server in told.story.servers for one in server.run.served)


def _counted(told: Told) -> Counter[tuple[str, str]]:
    series = told.last.of("llm_requests_total")
    counted = {(one.labels["server"], one.labels["outcome"]): int(one.value) for one in series if one.value}
    return Counter(counted)


def _requests_joules(told: Told) -> float:
    return told.last.sum("llm_energy_joules_total", share="requests")


def _busy_joules(told: Told) -> float:
    """Energy of all steps; static power while several servers run at once is drawn only once."""
    joules = sum(run.busy_joules - run.physics.idle_watts * run.busy_seconds for run in _runs(told))
    return joules + _runs(told)[0].physics.idle_watts * _seconds_busy(_runs(told))


def _seconds_busy(runs: list[Run]) -> float:
    """Time in which any of them is in a step."""
    starts = np.concatenate([run.begin + run.steps.start for run in runs])
    ends = np.concatenate([run.begin + run.steps.end for run in runs])
    order = np.argsort(starts)
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    gaps = np.maximum(starts[1:] - ends[:-1], 0.0).sum()
    return float(ends[-1] - starts[0] - gaps)
