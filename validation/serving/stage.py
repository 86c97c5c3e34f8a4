"""The stage: one server after the other, each started, warmed up, metered, loaded, stopped; then all are judged.

What a server, an exporter or a lack of time leaves undone is said in the result, and what was got before is kept.
"""

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from validation.cutting import CutError
from validation.options import Options
from validation.programs import ProgramError
from validation.results import Check, Figure, MachineFacts, StageResult
from validation.schedule import last_lines
from validation.serving import keeping, plan
from validation.serving.load import Load, Told, loading, warmed_up
from validation.serving.metering import SETTLE_SECONDS, Metering
from validation.serving.run import Books, ClientTruth, Judge, Served, ServerFailedError, ServerUnderTest, ServingRun
from validation.serving.servers import servers
from validation.stage import Room

RUNS = "serving-runs.json.gz"
_PLANNED = 0.88
"""Of the time for the load: a pace is a guess."""
_LATER_WEIGHT = 0.7
_LEAST_SECONDS = 15.0
"""For a server: with less none is started."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things take beside the load. `judging`: for all runs. `first_idle`, `last_idle`: nobody there."""

    grain: plan.Grain
    judging: float
    first_idle: float
    last_idle: float
    stopping: float


REAL = Terms(plan.LONG, judging=35.0, first_idle=5.0, last_idle=SETTLE_SECONDS + 3.0, stopping=6.0)
FAKE = Terms(plan.SHORT, judging=8.0, first_idle=1.5, last_idle=SETTLE_SECONDS + 2.0, stopping=2.0)


@dataclass(slots=True)
class _Findings:
    """What comes together while it runs."""

    runs: list[ServingRun] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)


class ServingStage:
    """See `Stage`. `chosen`: the servers; None: those that there are."""

    name = "serving"
    share = 290.0

    def __init__(self, options: Options, chosen: Sequence[ServerUnderTest] | None = None) -> None:
        self._options, self._chosen = options, chosen
        self._terms = FAKE if options.fake else REAL

    def unable(self, machine: MachineFacts) -> str:
        """Without a GPU nothing is metered."""
        return "" if machine.gpu else "no NVIDIA GPU"

    def run(self, room: Room) -> StageResult:
        """One server after the other, each with its share of the time; then judge.

        Raises:
            CutError: it was ended, and had nothing yet.
        """
        found = _Findings()
        try:
            self._serve(room, found)
            return self._told(found, _judged(found.runs, room) if found.runs else None)
        except CutError as cut:
            if not found.runs:
                raise
            again = f"{cut}; its runs can be judged again: python3 -m validation.judging {room.out}"
            told = self._told(found, None)
            return replace(told, ending="cut", why="; ".join(filter(None, [again, told.why])))

    def _serve(self, room: Room, found: _Findings) -> None:
        chosen = servers(self._options) if self._chosen is None else self._chosen
        until = room.deadline - self._terms.judging
        refused = {server.name: server.unable(room.machine) for server in chosen}
        found.undone += [f"{name}: {why}" for name, why in refused.items() if why]
        able = [server for server in chosen if not refused[server.name]]
        for number, server in enumerate(able):
            seconds = (until - room.now()) * share_of(number, len(able))
            if seconds < _LEAST_SECONDS:
                found.undone.append(f"{server.name}: no time is left")
                continue
            self._one(server, replace(room, deadline=room.now() + seconds), found)

    def _one(self, server: ServerUnderTest, room: Room, found: _Findings) -> None:
        """One server; what goes wrong is its own business."""
        try:
            served = server.start(room)
            found.figures += served.figures
            found.checks += served.checks
            asyncio.run(self._metered(server, served, room, found))
        except ServerFailedError as error:
            found.undone.append(str(error))
            room.say(str(error))
        except (ProgramError, OSError) as error:
            found.undone.append(f"{server.name}: {error}")
            room.say(f"{server.name}: {error}")
        except Exception:  # noqa: BLE001 - a bug met with one server must not cost the others' results
            found.undone.append(f"{server.name}: {last_lines()}")
            room.say(f"{server.name}: {last_lines()}")
        finally:
            server.stop()

    async def _metered(self, server: ServerUnderTest, served: Served, room: Room, found: _Findings) -> None:
        """Warm up, meter, load, stop metering; what came of it is kept at once, however it ends."""
        recording = room.out / f"recording-{server.name}.jsonl.gz"
        until = time.time() + room.left() - self._terms.stopping
        async with loading(served, until, server.alive) as load:
            pace = await warmed_up(load)
            room.say(f"{server.name}: {_pace_words(pace)}")
            load.told, books = Told(), None
            metering = Metering(served, server.name, recording, room.scratch)

            def keep(ended: str) -> None:
                """All that is known by now, in place of what was known before."""
                run = _run(server, load.told, books, recording, ended, self._options)
                keeping.write(room.out / RUNS, [*found.runs, run])

            try:
                metering.await_ready(room)
                await self._loaded(server.name, load, plan.Sizing(pace, served.bearing), room, keep)
                books = metering.books(time.time())
            finally:
                stopped = metering.stop()
                if load.told.requests:
                    found.runs.append(_run(server, load.told, books, recording, stopped, self._options))
                    keeping.write(room.out / RUNS, found.runs)

    async def _loaded(
        self, name: str, load: Load, sizing: plan.Sizing, room: Room, keep: Callable[[str], None]
    ) -> None:
        """Nobody there, the load, nobody there; after each phase all is kept, should this be killed in the next."""

        def tell(text: str) -> None:
            room.say(f"{name}: {text}")
            keep("the whole program was killed while this server ran")

        await load.idle("idle-first", self._terms.first_idle)
        load.until -= self._terms.last_idle
        seconds = load.until - time.time()
        standard = plan.plan(_PLANNED * seconds, sizing, self._terms.grain)
        room.say(f"{name}: {len(standard.phases)} phases in about {standard.seconds:.0f} of {seconds:.0f} s")
        await load.run(standard, tell)
        load.until += self._terms.last_idle
        await load.idle("idle-last", self._terms.last_idle)

    def _told(self, found: _Findings, judged: StageResult | None) -> StageResult:
        checks = [*found.checks, *(check for run in found.runs for check in run_checks(run))]
        figures = [*found.figures, *(figure for run in found.runs for figure in run_figures(run))]
        missing = [*found.undone, *(f"{run.name}: {one}" for run in found.runs for one in run.missing)]
        mine = StageResult(
            stage=self.name,
            ending="done" if found.runs else "failed",
            seconds=0.0,
            why="; ".join(missing),
            figures=tuple(figures),
            checks=tuple(checks),
            tables={"Serving: phases": tuple(row for run in found.runs for row in phase_rows(run))},
            files=_files(found.runs),
        )
        return mine if judged is None else _joined(mine, judged)


def share_of(number: int, servers: int) -> float:
    """Of the time that is left, for this one of so many servers: those after the second are given less."""
    weights = [1.0 if one < 2 else _LATER_WEIGHT for one in range(number, servers)]
    return weights[0] / sum(weights)


def run_checks(run: ServingRun) -> Iterator[Check]:
    """Of what the clients and the exporter say of the same run."""
    sent, broken = len(run.requests), [one.why for one in run.requests if one.outcome == "error"]
    whole = f"all {sent}, but those hung up on at the deadline"
    said = f"{len(broken)} failed: {broken[0]}" if broken else f"{sent}"
    yield Check(f"{run.name}: requests answered whole", whole, said, not broken)
    if run.books is None:
        yield Check(f"{run.name}: the exporter answers at the end", "its books", "no answer", False)  # noqa: FBT003
        return
    told = sum(run.books.requests.values())
    yield Check(f"{run.name}: requests settled by the exporter", f"the clients' {sent}", str(told), told == sent)
    exact = [one for one in run.requests if one.outcome == "ok"]
    odd = sum(one.output_tokens != one.asked_tokens for one in exact)
    yield Check(f"{run.name}: answers as long as asked for", "all", f"{odd} are not", odd == 0)
    for books in run.books.devices:
        off = books.metered - books.attributed - books.idle - books.unattributed - books.unsettled
        yield Check(
            f"{run.name}: books of {books.device} balance",
            "to 1e-6 of what was metered",
            f"{off:.3g} J of {books.metered:.0f} J",
            abs(off) <= 1e-6 * max(books.metered, 1.0),
        )


def run_figures(run: ServingRun) -> Iterator[Figure]:
    """What the run was, in numbers."""
    seconds = run.phases[-1].ended - run.phases[0].began if run.phases else 0.0
    tokens = sum(one.output_tokens or 0 for one in run.requests)
    note = "FAKE board" if run.fake else ""
    yield Figure(f"{run.name}: metered load", seconds, "s", samples=len(run.requests), note=note)
    yield Figure(f"{run.name}: output tokens", float(tokens), "tokens", note=note)
    for books in run.books.devices if run.books is not None else ():
        yield Figure(f"{run.name}: metered energy of {books.device}", books.metered, "J", note=note)
    if run.recording is not None:
        yield Figure(f"{run.name}: recording", run.recording.stat().st_size / 1e3, "kB")


def phase_rows(run: ServingRun) -> Iterator[Mapping[str, Any]]:
    """A row for each phase."""
    for phase in run.phases:
        mine = [one for one in run.requests if one.phase == phase.name]
        seconds, tokens = phase.ended - phase.began, sum(one.output_tokens or 0 for one in mine)
        yield {
            "run": run.name,
            "phase": phase.name,
            "at once": phase.concurrency,
            "seconds": round(seconds, 1),
            "requests": len(mine),
            "prompt tokens": sum(one.prompt_tokens for one in mine),
            "output tokens": tokens,
            "output tokens/s": round(tokens / seconds, 1) if seconds > 0.0 else None,
        }


def _run(  # noqa: PLR0913, PLR0917 - what a run is made of
    server: ServerUnderTest, told: Told, books: Books | None, recording: Path, stopped: str, options: Options
) -> ServingRun:
    there = recording.is_file() and recording.stat().st_size > 0
    broken = [one for one in told.requests if one.outcome != "ok"]
    wrong = {
        f"{len(broken)} of {len(told.requests)} requests without a whole answer, {_first_why(broken)}": bool(broken),
        stopped: bool(stopped),
        "there is no recording": not there,
        "the exporter was not heard at the end": books is None,
        "the server died": not server.alive(),
    }
    return ServingRun(
        server=server.kind,
        name=server.name,
        model=server.model,
        fake=options.fake,
        load="standard",
        recording=recording if there else None,
        requests=tuple(sorted(told.requests, key=lambda one: one.start)),
        phases=tuple(told.phases),
        books=books,
        missing=(*told.missing, *(words for words, so in wrong.items() if so)),
    )


def _first_why(broken: Sequence[ClientTruth]) -> str:
    return f"the first: {broken[0].why}" if broken else ""


def _files(runs: Sequence[ServingRun]) -> tuple[str, ...]:
    """Names of those written: the clients' truth, and the recordings."""
    recordings = (run.recording.name for run in runs if run.recording is not None)
    return (RUNS, *recordings) if runs else ()


def _judged(runs: Sequence[ServingRun], room: Room) -> StageResult:
    """What a judge says, where there is one; what goes wrong there costs no recording."""
    try:
        judge = cast("Judge", importlib.import_module("validation.judging").judge)
        return judge(runs, room)
    except (ImportError, AttributeError) as error:
        return StageResult("serving", "done", 0.0, f"not judged: {error}")
    except Exception:  # noqa: BLE001 - as above
        return StageResult("serving", "failed", 0.0, f"not judged: {last_lines()}")


def _joined(mine: StageResult, judged: StageResult) -> StageResult:
    return replace(
        mine,
        why="; ".join(filter(None, [mine.why, judged.why])),
        figures=mine.figures + judged.figures,
        checks=mine.checks + judged.checks,
        tables={**mine.tables, **judged.tables},
        files=mine.files + judged.files,
    )


def _pace_words(pace: plan.Pace) -> str:
    return (
        f"{pace.prefill:.0f} prompt tokens/s; {1.0 / pace.step_alone:.0f} tokens/s alone, "
        f"{pace.concurrency / pace.step_full:.0f} tokens/s by {pace.concurrency}"
    )
