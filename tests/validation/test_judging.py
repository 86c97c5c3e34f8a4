"""Judging runs whose truth is known: what is right passes, and what was broken on purpose is seen. SIMULATED."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exporter.domain.snapshot import DeviceView
from exporter.domain.units import Joules, Watts, later
from tests.validation.simulated import EIGHT_B, Batch, PhaseOf, Simulated, simulated
from tests.validation.stages import MACHINE
from validation.files import MOST_FILES
from validation.judging import __main__ as again
from validation.judging import classes, conservation, fairness, idle, matching, proxies, together
from validation.judging import judge as judge_runs
from validation.judging.evidence import Evidence, evidence_of, idle_watts
from validation.judging.finding import Findings
from validation.judging.matching import Matched, match
from validation.judging.played import HINDSIGHT, Played, Told, Variant, play
from validation.judging.references import reference_for
from validation.results import Check
from validation.serving import keeping
from validation.serving.run import Books, ClientTruth, DeviceBooks, ServingRun
from validation.serving.stage import RUNS
from validation.stage import Room

LEARNED = f"steps{HINDSIGHT}"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return simulated(tmp_path_factory.mktemp("simulated"))


@pytest.fixture(scope="module")
def evidence(story: Simulated) -> Evidence:
    assert story.run.recording is not None
    return evidence_of(story.run, play(story.run.recording))


def checks(judgement: Callable[[Evidence, Findings], None], evidence: Evidence) -> dict[str, Check]:
    """By their names without the run's."""
    found = Findings("run")
    judgement(evidence, found)
    return {check.name.removeprefix("run: "): check for check in found.checks}


def held(judgement: Callable[[Evidence, Findings], None], evidence: Evidence) -> dict[str, bool | None]:
    return {name: check.held for name, check in checks(judgement, evidence).items()}


def given(evidence: Evidence, change: Callable[[Matched, float], float]) -> Evidence:
    """The same, had requests been given other joules, under every policy."""
    matched = tuple(
        replace(one, joules={policy: change(one, joules) for policy, joules in one.joules.items()})
        for one in evidence.matching.matched
    )
    return replace(evidence, matching=replace(evidence.matching, matched=matched))


def with_views(evidence: Evidence, change: Callable[[DeviceView], DeviceView]) -> Evidence:
    """The same, had the books been others."""

    def changed(told: Told) -> Told:
        return replace(told, books=replace(told.books, devices=tuple(map(change, told.books.devices))))

    return with_told(evidence, changed)


def with_told(evidence: Evidence, change: Callable[[Told], Told]) -> Evidence:
    told: Mapping[Variant, Told] = {policy: change(each) for policy, each in evidence.played.told.items()}
    return replace(evidence, played=replace(evidence.played, told=told))


# --- whose request is whose ------------------------------------------------------------------------------------------


def judge_matching(evidence: Evidence, found: Findings) -> None:
    matching.judge(evidence.matching, evidence.run.requests, found)


def test_every_request_is_found_by_its_id(evidence: Evidence) -> None:
    assert evidence.matching.by_id == len(evidence.matching.matched) == len(evidence.run.requests)
    assert all(one.client.id == one.told.id for one in evidence.matching.matched)
    assert set(held(judge_matching, evidence).values()) == {True}


def strangers(clients: tuple[ClientTruth, ...]) -> tuple[ClientTruth, ...]:
    """The same clients, had the log not told their ids."""
    return tuple(replace(client, id=f"other {number}") for number, client in enumerate(clients))


def test_without_ids_it_is_found_by_times_and_tokens(evidence: Evidence) -> None:
    found = match(strangers(evidence.run.requests), evidence.played)
    assert not found.by_id
    assert not found.missing
    assert not found.extra
    assert all(one.shape == (one.told.prompt_tokens, one.told.output_tokens) for one in found.matched)
    assert max(abs(one.end_error) for one in found.matched) < 0.05


def test_ids_that_a_server_wraps_are_known(evidence: Evidence) -> None:
    wrapped = with_told(
        evidence,
        lambda told: replace(told, settled=tuple(replace(one, id=f"cmpl-{one.id}-0") for one in told.settled)),
    )
    assert match(evidence.run.requests, wrapped.played).by_id == len(evidence.run.requests)


def rematched(evidence: Evidence, played: Played) -> Evidence:
    """The same, had the exporter told another story."""
    return evidence_of(evidence.run, played)


def test_answers_that_the_exporter_does_not_know_are_seen(evidence: Evidence) -> None:
    lossy = with_told(
        evidence, lambda told: replace(told, settled=tuple(one for n, one in enumerate(told.settled) if n % 20))
    )
    broken = rematched(evidence, lossy.played)
    assert len(broken.matching.missing) == len(evidence.run.requests) - len(lossy.played.told["steps"].settled)
    assert held(judge_matching, broken)["every answer is known"] is False


def test_a_request_that_nobody_sent_is_seen(evidence: Evidence) -> None:
    twice = with_told(
        evidence,
        lambda told: replace(told, settled=(*told.settled, replace(told.settled[9], id="ghost", prompt_tokens=7))),
    )
    assert held(judge_matching, rematched(evidence, twice.played))["no request that nobody sent"] is False


def test_ends_that_are_told_late_are_seen(evidence: Evidence) -> None:
    late = with_told(
        evidence,
        lambda told: replace(told, settled=tuple(replace(one, end=later(one.end, 0.3)) for one in told.settled)),
    )
    assert held(judge_matching, rematched(evidence, late.played))["ends are told in time"] is False


def test_tokens_that_are_not_the_clients_are_seen(evidence: Evidence) -> None:
    wrong = with_told(
        evidence, lambda told: replace(told, settled=tuple(replace(one, output_tokens=1) for one in told.settled))
    )
    assert held(judge_matching, rematched(evidence, wrong.played))["output tokens are the client's"] is False


def test_nothing_is_decided_where_nothing_was_sent(evidence: Evidence) -> None:
    nobody = replace(evidence, run=replace(evidence.run, requests=()), matching=match((), evidence.played))
    assert set(held(judge_matching, nobody).values()) == {None}


# --- conservation ----------------------------------------------------------------------------------------------------


def test_books_balance_and_are_the_counters(evidence: Evidence) -> None:
    found = held(conservation.judge, evidence)
    undecided = {name for name, each in found.items() if each is None}
    assert undecided == {"the running exporter's books balance"}
    assert False not in found.values()


def test_a_joule_that_is_booked_twice_is_seen(evidence: Evidence) -> None:
    def once_more(view: DeviceView) -> DeviceView:
        return replace(view, booked={**view.booked, "idle": Joules(view.booked["idle"] + 1.0)})

    found = held(conservation.judge, with_views(evidence, once_more))
    assert found["books balance under every policy"] is False


def test_energy_that_the_counter_did_not_count_is_seen(evidence: Evidence) -> None:
    found = held(
        conservation.judge,
        with_views(evidence, lambda view: replace(view, metered_joules=Joules(1.02 * view.metered_joules))),
    )
    assert found["gpu0 was metered as its counter counted"] is False


def test_requests_that_got_more_than_was_booked_for_them_are_seen(evidence: Evidence) -> None:
    doubled = with_told(
        evidence,
        lambda told: replace(
            told, settled=tuple(replace(one, joules=Joules(2.0 * one.joules)) for one in told.settled)
        ),
    )
    assert held(conservation.judge, doubled)["requests' joules are the books' under every policy"] is False


@pytest.mark.parametrize(("idle", "expected"), [(30.0, True), (31.0, False)])
def test_the_running_exporters_books_are_held_to_account(evidence: Evidence, idle: float, expected: bool) -> None:  # noqa: FBT001
    books = Books(0.0, (DeviceBooks("gpu0", 100.0, 60.0, idle, 9.0, 1.0),), {"ok": 1})
    found = held(conservation.judge, replace(evidence, run=replace(evidence.run, books=books)))
    assert found["the running exporter's books of gpu0 balance"] is expected


def test_a_recording_that_was_cut_off_is_seen(evidence: Evidence) -> None:
    cut = replace(evidence, played=replace(evidence.played, cut="it was cut off after line 9"))
    assert held(conservation.judge, cut)["the recording is whole"] is False


# --- identical requests ----------------------------------------------------------------------------------------------


def test_identical_requests_get_equal_joules(evidence: Evidence) -> None:
    assert {one.size for one in evidence.batches()} == {4, 16, 64}
    assert set(held(fairness.judge, evidence).values()) == {True}


def test_joules_that_were_shuffled_are_seen(evidence: Evidence) -> None:
    drawn = np.random.default_rng(1)
    shuffled = given(evidence, lambda _, joules: joules * drawn.uniform(0.8, 1.2))
    assert set(held(fairness.judge, shuffled).values()) == {False}


def test_a_batch_of_which_one_is_not_known_is_left_out(evidence: Evidence) -> None:
    lost = next(one for one in evidence.matching.matched if one.client.group == "b4.0")
    rest = tuple(one for one in evidence.matching.matched if one is not lost)
    fewer = replace(evidence, matching=replace(evidence.matching, matched=rest))
    assert len(fewer.batches()) == len(evidence.batches()) - 1


# --- two classes -----------------------------------------------------------------------------------------------------


def class_checks(evidence: Evidence, policy: Variant) -> list[bool | None]:
    return [each for name, each in held(classes.judge, evidence).items() if name.endswith(f"under {policy}")]


def test_regression_on_windows_totals_finds_what_classes_truly_cost(story: Simulated, evidence: Evidence) -> None:
    totals = {one.name: one for one in classes.totals(evidence.windows("mix"))}
    assert set(totals) == {"prefill", "decode"}
    for name, total in totals.items():
        true = sum(
            story.joules[client.id]
            for client in story.run.requests
            if client.group == name and client.phase.startswith("mix")
        )
        assert total.joules == pytest.approx(true, rel=classes.ALLOWED)


def test_classes_get_what_they_cost_once_the_rule_has_learned(evidence: Evidence) -> None:
    assert class_checks(evidence, LEARNED) == [True, True]


def test_a_rule_that_was_not_in_force_is_not_judged(evidence: Evidence) -> None:
    """In two minutes it has seen too few windows; what it gave meanwhile was equal time."""
    assert evidence.played.told["steps"].own_share < 0.5
    assert class_checks(evidence, "steps") == [None, None]


def test_a_class_that_was_given_twice_what_it_cost_is_seen(evidence: Evidence) -> None:
    doubled = given(evidence, lambda one, joules: joules * (2.0 if one.client.group == "decode" else 1.0))
    assert False in class_checks(doubled, LEARNED)


def test_classes_that_were_taken_for_each_other_are_seen(evidence: Evidence) -> None:
    equal = given(evidence, lambda one, _: 1.0 if one.client.group == "decode" else 1000.0)
    assert class_checks(equal, LEARNED) == [False, False]


def test_windows_that_are_all_alike_decide_nothing(evidence: Evidence) -> None:
    few = [phase for phase in evidence.run.phases if phase.kind != "mix" or phase.name == "mix-0"]
    assert held(classes.judge, replace(evidence, run=replace(evidence.run, phases=tuple(few)))) == {
        "classes of a mix get what they cost": None
    }


# --- alone and together ----------------------------------------------------------------------------------------------


def test_joules_of_a_token_fall_as_the_simulated_physics_say(evidence: Evidence) -> None:
    fit = together.fall(together.sizes(evidence))
    assert fit is not None
    cost = EIGHT_B.cost
    assert fit.values[0] == pytest.approx(cost.step, rel=0.03)
    own = cost.decode + 150.0 * cost.context_token + 64.0 / 200.0 * cost.prefill_token
    assert fit.values[1] == pytest.approx(own, rel=0.3)


def test_requests_get_what_was_metered_while_they_ran(evidence: Evidence) -> None:
    found = held(together.judge, evidence)
    assert {name for name, each in found.items() if each is None} == {"an output token alone costs what is plausible"}
    assert False not in found.values()


@pytest.mark.parametrize(("kind", "when"), [("identical", "together"), ("isolated", "alone")])
def test_requests_that_got_too_much_are_seen(evidence: Evidence, kind: str, when: str) -> None:
    more = given(evidence, lambda one, joules: joules * (1.2 if one.client.phase == kind else 1.0))
    assert held(together.judge, more)[f"requests {when} get what was metered then, under steps"] is False


def test_a_token_that_costs_more_among_others_is_seen(tmp_path: Path) -> None:
    """Of physics in which a request costs as much among others, and a bit more."""
    cost = EIGHT_B.joules
    odd = replace(EIGHT_B, joules=replace(cost, step=0.0, decode=3.0, context_token=2e-3))
    phases = [
        PhaseOf("isolated", "isolated", [Batch("i0", (64, 200))]),
        PhaseOf("identical", "identical", [Batch("b4.0", (800, 900), 4)]),
    ]
    story = simulated(tmp_path, phases, odd)
    assert story.run.recording is not None
    broken = evidence_of(story.run, play(story.run.recording))
    assert held(together.judge, broken)["an output token costs less among others"] is False


@pytest.mark.parametrize(("watts", "expected"), [(350.0, True), (40.0, False), (1200.0, False)])
def test_a_figure_far_from_the_published_is_suspected(evidence: Evidence, watts: float, expected: bool) -> None:  # noqa: FBT001
    h200 = replace(evidence.played.metered.devices[0], method="measured", model="NVIDIA H200")
    reference = reference_for("Llama-3.1-8B shapes, bfloat16, random", [h200])
    assert reference is not None
    assert reference.holds(watts * 8e-3) is expected


def test_another_models_figure_is_held_against_nothing(evidence: Evidence) -> None:
    h200 = replace(evidence.played.metered.devices[0], method="measured", model="NVIDIA H200")
    assert reference_for("Qwen3-0.6B, q8_0", [h200]) is None
    assert reference_for("Llama-3.1-8B bf16", [h200, h200]) is None


# --- idle ------------------------------------------------------------------------------------------------------------


def test_learned_idle_power_is_that_of_the_pauses(evidence: Evidence) -> None:
    assert idle_watts(evidence) == pytest.approx(EIGHT_B.idle_watts, rel=1e-3)
    assert held(idle.judge, evidence) == {"learned idle power is the pauses'": True}


def test_idle_power_that_was_learned_wrong_is_seen(evidence: Evidence) -> None:
    wrong = with_views(evidence, lambda view: replace(view, idle_watts=Watts(1.2 * (view.idle_watts or 0.0))))
    assert held(idle.judge, wrong) == {"learned idle power is the pauses'": False}


def test_without_pauses_nothing_is_decided(evidence: Evidence) -> None:
    busy = tuple(phase for phase in evidence.run.phases if phase.kind != "idle")
    assert held(idle.judge, replace(evidence, run=replace(evidence.run, phases=busy))) == {
        "learned idle power is the pauses'": None
    }


# --- proxies ---------------------------------------------------------------------------------------------------------


def test_dividing_time_among_those_present_is_better_at_every_load(evidence: Evidence) -> None:
    known = {(one.at_once, one.proxy): one for one in proxies.study(evidence).hindsight}
    for at in ("2-4", "5-16", "17-64"):
        time, share = known[at, "time"].mape, known[at, "time_share"].mape
        assert time is not None
        assert share is not None
        assert share < 0.5 * time


def test_forgetting_the_one_over_b_costs_as_much_as_the_physics_say(story: Simulated, evidence: Evidence) -> None:
    """With 64 at once: everybody's latency at the watts of a lone request, over what was truly drawn."""
    study = proxies.study(evidence)
    batch = [one for one in evidence.batches() if one.size == 64]
    naive = sum(EIGHT_B.cost.step / EIGHT_B.seconds.step * 64 * one.seconds for one in batch)
    true = sum(story.joules[each.client.id] for one in batch for each in one.members)
    found = {one.at_once: one.ratio for one in study.forgetting}
    assert found["17-64"] == pytest.approx(naive / true, rel=0.35)
    assert found["1"] == pytest.approx(1.0, abs=0.05)


def test_a_proxy_that_says_twice_too_much_scores_so(evidence: Evidence) -> None:
    twice = with_told(
        evidence,
        lambda told: replace(
            told,
            settled=tuple(replace(one, predicted={"time_share": Joules(2.0 * one.joules)}) for one in told.settled),
        ),
    )
    scores = [one for one in proxies.study(twice).attributed if one.samples >= 3]
    assert {one.proxy for one in scores} == {"time_share"}
    assert all(one.mape == pytest.approx(1.0) and one.bias == pytest.approx(1.0) for one in scores)


# --- all of it -------------------------------------------------------------------------------------------------------


def room(folder: Path) -> Room:
    return Room(folder, folder, 100.0, lambda: 0.0, lambda _: None, MACHINE, lambda _: None)


def test_all_of_it_becomes_one_result_with_a_picture(tmp_path: Path, story: Simulated) -> None:
    result = judge_runs([story.run], room(tmp_path))
    assert result.ending == "done"
    assert result.files == ("serving.png",)
    assert (tmp_path / "serving.png").stat().st_size > 20_000
    assert not any(check.held is False for check in result.checks)
    assert all(check.name.startswith("simulated: ") for check in result.checks)
    for rows in result.tables.values():
        assert len({tuple(row) for row in rows}) == 1, "every row of a table has the same keys"


def test_a_run_without_a_recording_is_said_to_be_missing(tmp_path: Path, story: Simulated) -> None:
    garbled = tmp_path / "garbled.jsonl.gz"
    garbled.write_bytes(b"nothing")
    runs: list[ServingRun] = [
        replace(story.run, name="none", recording=None),
        replace(story.run, name="garbled", recording=garbled),
    ]
    result = judge_runs(runs, room(tmp_path))
    assert result.ending == "failed"
    assert "none: not judged, there is no recording" in result.why
    assert "garbled: not judged" in result.why
    assert not result.files


def test_a_run_can_be_judged_again_from_its_files(
    tmp_path: Path, story: Simulated, capsys: pytest.CaptureFixture[str]
) -> None:
    assert story.run.recording is not None
    folder, out = tmp_path / "results", tmp_path / "again"
    folder.mkdir()
    shutil.copy(story.run.recording, folder)
    keeping.write(folder / RUNS, [story.run])
    assert again.main([str(folder), "--out", str(out)]) == 0
    assert "simulated: books balance under every policy" in capsys.readouterr().out
    assert (out / "serving.png").is_file()


def test_a_folder_without_runs_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert again.main([str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_the_picture_is_left_out_where_there_are_files_enough(tmp_path: Path, story: Simulated) -> None:
    for number in range(MOST_FILES - 1):
        (tmp_path / str(number)).touch()
    result = judge_runs([story.run], room(tmp_path))
    assert not result.files
    assert "python3 -m validation.judging" in result.why
