"""A tuning from the first page of the exporter to the last word."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TextIO

from exporter.domain.errors import KnobError, TuneError
from exporter.tune import choosing, guard, lock, nvml, rendering, telling
from exporter.tune import load as loads
from exporter.tune.books import DEFAULT_EXPORTER, metrics_of, reading
from exporter.tune.choosing import Choice
from exporter.tune.ensemble import Ensemble
from exporter.tune.knob import Knob, KnobName
from exporter.tune.objective import Objective, slowdown
from exporter.tune.page import Page
from exporter.tune.rendering import Plan
from exporter.tune.running import Hooks, run_trials
from exporter.tune.search import MOST_TRIALS, Search, settings_to_try
from exporter.tune.telling import Outcome
from exporter.tune.trial import Trial
from exporter.tune.trials import Bench, Pace, RealTime
from exporter.tune.verdict import Verdict, judge
from exporter.web import OPEN, Access

DEFAULT_SLOWDOWN = 1.1


@dataclass(frozen=True, slots=True)
class Options:
    """What the user wants.

    Attributes:
        exporter: whose books are read. access: how to be let in there.
        servers: whose requests count; empty: those on the GPUs. gpus: which; empty: those of the servers.
        load: put on for the trials; None: there is traffic.
        apply: change anything. keep: what is recommended stays.
        allow_estimated: tune by energy that nobody measured.
    """

    knob: KnobName = "clocks"
    exporter: str = DEFAULT_EXPORTER
    access: Access = OPEN
    servers: Sequence[str] = ()
    gpus: Sequence[str] = ()
    objective: Objective = field(default_factory=lambda: slowdown(DEFAULT_SLOWDOWN))
    pace: Pace = field(default_factory=Pace)
    most_trials: int = MOST_TRIALS
    load: loads.Plan | None = None
    apply: bool = False
    keep: bool = False
    allow_estimated: bool = False
    json: bool = False


@dataclass(slots=True)
class Progress:
    """What happens now, on a terminal; nothing in a pipe."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    trial: str = ""

    def say(self, text: str) -> None:
        """In place of what was said before."""
        if self.stream.isatty():
            self.stream.write(f"\r\x1b[K{self.trial}{text}")
            self.stream.flush()

    def write(self, text: str) -> None:
        """A line that stays."""
        if self.stream.isatty():
            self.stream.write(f"\r\x1b[K{text}\n")
            self.stream.flush()


def run(options: Options, out: TextIO, progress: Progress | None = None) -> int:
    """Tune; the exit code: 0 where there is a recommendation or certainly no need of one, else 1.

    Raises:
        TuneError: nothing can be tried, or something could not be put back.
        UsageError: what was asked for does not fit what is there.
    """
    shown = progress or Progress()
    _expect_nvidia()
    page = asyncio.run(_first_page(options.exporter, options.access))
    choice = choosing.choose(page, options.servers, [nvml.find_board(gpu)[1] for gpu in options.gpus])
    if not options.allow_estimated:
        choosing.expect_measured(page, choice.subject, frozenset())
    uuids = sorted(choice.subject.uuids, key=lambda uuid: page.devices[uuid].name)
    for uuid in uuids:
        for line in guard.put_back_first(uuid, page.devices[uuid].name):
            print(line, file=sys.stderr)
    tuning = _Tuning(options, choice, uuids, out, shown)
    if not options.apply:
        return telling.baseline(tuning.dry(), options.pace.least_requests, out, json=options.json)
    outcome = tuning.applied()
    verdict = judge(outcome.search, outcome.trials, options.pace.least_requests)
    telling.all_of(outcome, verdict, _keep(options, uuids, verdict), out, json=options.json)
    return 0 if verdict.kind in ("recommend", "no gain") else 1


def restore(out: TextIO, *, json: bool = False) -> int:
    """Put back what killed tuners left; says what.

    Raises:
        TuneError: something could not be put back.
    """
    told = []
    for line in guard.restore_all():
        told.append(line)
        if not json:
            print(line, file=out)
    if json:
        telling.restored(told, out)
    elif not told:
        print("nothing was left to put back", file=out)
    return 0


def _expect_nvidia() -> None:
    try:
        nvml.Session().close()
    except KnobError as error:
        raise TuneError(f"only NVIDIA GPUs can be tuned, on the machine that has them: {error}") from error


async def _first_page(exporter: str, access: Access) -> Page:
    async with reading(exporter, access) as books:
        return await books.read()


@dataclass(frozen=True, slots=True)
class _Tuning:
    """What was chosen, and who watches."""

    options: Options
    choice: Choice
    uuids: Sequence[str]
    out: TextIO
    progress: Progress

    def dry(self) -> Outcome:
        """Measure the default as it is."""
        with _opened(self.options.knob, self.uuids) as (knob, notes, permission):
            search = _search(self.options, knob)
            plan = self._plan(search, knob, notes, permission)
            self._show(plan, "dry run: nothing is changed")
            once = Search((search.default,), search.unit, search.objective, 1)
            return asyncio.run(self._measure(once, plan, lambda _: None))

    def applied(self) -> Outcome:
        """Try settings, guarded; everything is put back when this ends, however it does."""
        try:
            with ExitStack() as guards:
                knobs = [guards.enter_context(guard.tuned(self.options.knob, uuid)) for uuid in self.uuids]
                knob = Ensemble(knobs)
                search = _search(self.options, knob)
                notes = [note for one in knobs for note in one.notes]
                plan = self._plan(search, knob, notes, "the first trial shows it")
                self._show(plan, "settings are tried, and everything is put back at the end")
                return asyncio.run(self._measure(search, plan, knob.set))
        except (KeyboardInterrupt, SystemExit):
            print("stopped: everything was put back", file=sys.stderr)
            raise

    def _plan(self, search: Search, knob: Knob, notes: Sequence[str], permission: str) -> Plan:
        options = self.options
        return Plan(
            knob=options.knob,
            devices=knob.device,
            unit=search.unit,
            settings=search.settings,
            objective=options.objective,
            servers=sorted(self.choice.subject.servers),
            exporter=metrics_of(options.exporter, options.access)[0],
            load="what there is" if options.load is None else str(options.load),
            permission=permission,
            most_trials=options.most_trials,
            most_seconds=options.pace.worst_seconds(options.most_trials),
            applies=options.apply,
            notes=[*self.choice.cautions, *notes],
        )

    def _show(self, plan: Plan, head: str) -> None:
        if not self.options.json:
            print(head, *plan.lines(), "", sep="\n", file=self.out, flush=True)

    async def _measure(self, search: Search, plan: Plan, turn: Callable[[int], None]) -> Outcome:
        options = self.options
        async with AsyncExitStack() as stack:
            books = await stack.enter_async_context(reading(options.exporter, options.access))
            load = await stack.enter_async_context(loads.loading(options.load)) if options.load else None
            bench = Bench(books, RealTime(), self.choice.subject, options.objective, options.pace, self.progress.say)
            trials = await run_trials(bench, search, turn, self._hooks(bench, search, load))
        return Outcome(plan, search, trials, sorted(bench.methods), bench.cautions)

    def _hooks(self, bench: Bench, search: Search, load: loads.Load | None) -> Hooks:
        numbers = count(1)

        def begins(number: int, setting: int) -> None:
            self.progress.trial = f"trial {number} of at most {search.most_trials}, {setting} {search.unit}: "

        def ended(trial: Trial) -> None:
            self.progress.write(rendering.row(next(numbers), trial, search.unit))
            if load is not None:
                load.check()
            if not self.options.allow_estimated:
                choosing.expect_measured(Page(), self.choice.subject, bench.methods)

        return Hooks(begins, ended)


@contextmanager
def _opened(name: KnobName, uuids: Sequence[str]) -> Iterator[tuple[Knob, Sequence[str], str]]:
    """Knobs that nobody turns, what is to be known of them, and whether one may, as far as that shows untried."""
    with ExitStack() as opened:
        knobs = []
        for uuid in uuids:
            knobs.append(nvml.open_knob(name, uuid))
            opened.callback(knobs[-1].close)
        yield Ensemble(knobs), [note for one in knobs for note in one.notes], _permission(knobs)


def _permission(knobs: Sequence[nvml.PowerLimit | nvml.LockedClocks]) -> str:
    for knob in knobs:
        holder = lock.holder(knob.uuid)
        if holder is not None:
            return f"no: process {holder} tunes {knob.device} now"
    if os.geteuid() != 0:
        return "no: it takes root, which this is not (sudo)"
    return "this is root; only a trial shows whether the driver lets it, which in a container takes SYS_ADMIN, too"


def _search(options: Options, knob: Knob) -> Search:
    range_ = knob.range()
    settings = settings_to_try(range_)
    if len(settings) < 2:
        said = f"{knob.device}: there is nothing below {range_.default} {range_.unit} that could be tried"
        raise TuneError(f"{said}; try the other --knob")
    return Search(settings, range_.unit, options.objective, options.most_trials)


def _keep(options: Options, uuids: Sequence[str], verdict: Verdict) -> Sequence[str]:
    """Set what is recommended, for good; how to undo it, a command each."""
    if not options.keep or verdict.setting is None:
        return ()
    undo: list[str] = []
    for uuid in uuids:
        try:
            undo.append(_kept(options.knob, uuid, verdict.setting))
        except TuneError as error:
            already = f" (set already, and undone by: {'; '.join(undo)})" if undo else ""
            raise TuneError(f"{error}{already}") from error
    return undo


def _kept(name: KnobName, uuid: str, setting: int) -> str:
    """Set for good; the command that undoes it."""
    with lock.locked(uuid, uuid):
        knob = nvml.open_knob(name, uuid)
        try:
            command = knob.undo.command
            knob.set(setting)
        finally:
            knob.close()
    return command
