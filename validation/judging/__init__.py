"""(c, d) What a serving run proves: its recording, played under every policy, held against what its clients know.

    played        the recording through the pipeline, once a policy; metered: the raw sensors, beside it
    matching      whose request is whose; evidence: all of it joined
    conservation  books balance, and are the counter's
    fairness      identical requests get equal joules
    classes       two classes of a mix, against a regression; lines: least squares
    together      requests alone and among others; references: published figures
    idle          learned idle watts against metered pauses
    proxies       the time-proxy study; sentences: what its numbers say
    plots         one picture

Nothing here starts anything or asks a device: a run can be judged again, elsewhere and later, from its files
(`python3 -m validation.judging DIR`). A check that cannot be decided says so; none is decided by what it is to show.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from exporter.domain.errors import RecordingError
from validation.files import room_for_picture
from validation.judging import classes, conservation, fairness, idle, matching, plots, proxies, together
from validation.judging.evidence import Evidence, evidence_of
from validation.judging.finding import Findings
from validation.judging.played import play
from validation.judging.sentences import sentences
from validation.results import StageResult
from validation.serving.run import ServingRun
from validation.stage import Room

__all__ = ["judge", "judged"]


def judge(runs: Sequence[ServingRun], room: Room) -> StageResult:
    """All runs: figures, checks, tables, and a picture in `room.out`."""
    found: list[Findings] = []
    shown: list[plots.Shown] = []
    missing: list[str] = []
    for run in runs:
        if run.recording is None:
            missing.append(f"{run.name}: not judged, there is no recording")
        elif room.left() <= 0.0:
            missing.append(f"{run.name}: not judged, no time is left; its files can be judged later")
        else:
            _judge_run(run, run.recording, found, shown, missing)
    files = _drawn(shown, room.out, missing)
    return StageResult(
        stage="serving",
        ending="done" if found or not runs else "failed",
        seconds=0.0,
        why="; ".join(missing),
        figures=tuple(figure for each in found for figure in each.figures),
        checks=tuple(check for each in found for check in each.checks),
        tables={title: tuple(rows) for each in found for title, rows in each.tables.items()},
        files=files,
    )


def _judge_run(
    run: ServingRun, recording: Path, found: list[Findings], shown: list[plots.Shown], missing: list[str]
) -> None:
    try:
        evidence = evidence_of(run, play(recording))
    except RecordingError as error:
        missing.append(f"{run.name}: not judged: {error}")
        return
    study = proxies.study(evidence)
    found.append(judged(evidence, study))
    shown.append(shown_of(evidence, study))


def shown_of(evidence: Evidence, study: proxies.Study) -> plots.Shown:
    """What the picture shows of it."""
    policy = evidence.played.recorded
    stretches = sorted((*evidence.alone(), *evidence.batches()), key=lambda one: one.size)
    batches = [one for one in stretches if evidence.long_enough(one) and one.decodes]
    return plots.Shown(
        run=evidence.run.name,
        device=", ".join(device.model or device.name for device in evidence.played.metered.devices),
        how=evidence.how,
        policy=policy,
        given=[(one.size, each.joules[policy] / each.shape[1]) for one in batches for each in one.members],
        metered=[(one.size, (one.metered or 0.0) / sum(each.shape[1] for each in one.members)) for one in batches],
        sizes=together.sizes(evidence),
        by_load=study.hindsight,
    )


def judged(evidence: Evidence, study: proxies.Study | None = None) -> Findings:
    """Everything that one run says."""
    found = Findings(evidence.run.name)
    matching.judge(evidence.matching, evidence.run.requests, found)
    _tell_policies(evidence, found)
    for judgement in _JUDGEMENTS:
        judgement(evidence, found)
    study = study or proxies.study(evidence)
    proxies.judge(study, found)
    for said in sentences(study):
        found.row("what the proxies' numbers say", {"": said})
    return found


_JUDGEMENTS: tuple[Callable[[Evidence, Findings], None], ...] = (
    conservation.judge,
    fairness.judge,
    classes.judge,
    together.judge,
    idle.judge,
)


def _tell_policies(evidence: Evidence, found: Findings) -> None:
    for policy in evidence.policies:
        told = evidence.played.told[policy]
        doubts = "; ".join(view.policy_reason for view in told.books.servers if view.policy_reason)
        found.row(
            "policies",
            {
                "policy": policy,
                "recorded": policy == evidence.played.recorded,
                "requests": len(told.settled),
                "J given": sum(one.joules for one in told.settled if one.has_energy),
                "by its own prices": told.own_share,
                "doubts at the end": doubts,
            },
        )


def _drawn(shown: Sequence[plots.Shown], out: Path, missing: list[str]) -> tuple[str, ...]:
    """One file more is still to come from the stages after this one."""
    if shown and not room_for_picture(out, names=(plots.NAME,), coming=1):
        missing.append(f"no {plots.NAME}, for there are files enough: python3 -m validation.judging {out}")
        return ()
    try:
        return (plots.NAME,) if plots.draw(shown, out / plots.NAME) else ()
    except OSError as error:
        missing.append(f"{plots.NAME} cannot be written: {error.strerror}")
        return ()
