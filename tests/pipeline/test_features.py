"""What can be seen of requests, and who of them ran alone."""

import numpy as np
import pytest

from exporter.domain.events import Completed
from exporter.domain.units import Instant
from exporter.ledger.claims import Claims, Life
from exporter.ledger.slices import DECODE, PRESENCE, Slices
from exporter.pipeline.features import alone, busy_joules, observe
from exporter.pipeline.waiting import Finished

SLICE = 0.1
SLICES = 400


def a_request(start: float, end: float, *, first: float | None = None, **about: int) -> Finished:
    prompt, output = about.get("prompt_tokens", 50), about.get("output_tokens", 11)
    news = Completed(
        f"{start}-{end}",
        Instant(start),
        Instant(end),
        first_token=Instant(first) if first is not None else None,
        queued_seconds=float(about.get("queued_seconds", 0)),
        prompt_tokens=prompt,
        cached_tokens=about.get("cached_tokens", 0),
        output_tokens=output,
    )
    known = first is not None
    life = Life(start, first if first is not None else start, end, float(prompt), float(output - known), 100.0)
    return Finished(news, life)


def held_by(*requests: Finished) -> np.ndarray:
    slices = Slices(devices=1, lanes=1, slice_seconds=SLICE, capacity=SLICES, since=0.0)
    slices.register(0, Claims.of([one.life for one in requests]))
    amounts: np.ndarray = slices.amounts[:, 0]
    return amounts


def test_whoever_is_alone_shares_time_with_nobody() -> None:
    one = a_request(1.03, 6.21)
    seen = observe([one], held_by(one), 0, SLICE)
    assert seen.shared_seconds == pytest.approx([5.18])
    assert seen.seconds == pytest.approx([5.18])


def test_shared_seconds_add_up_to_the_time_in_which_somebody_was_there() -> None:
    requests = [a_request(1.0, 6.0), a_request(2.0, 4.0), a_request(3.0, 9.0), a_request(20.0, 21.0)]
    seen = observe(requests, held_by(*requests), 0, SLICE)
    assert seen.shared_seconds.sum() == pytest.approx(9.0)


def test_two_who_run_together_share_their_time_in_halves() -> None:
    requests = [a_request(1.0, 5.0), a_request(1.0, 5.0)]
    assert observe(requests, held_by(*requests), 0, SLICE).shared_seconds == pytest.approx([2.0, 2.0])


def test_step_shares_of_all_add_up_to_the_steps_of_the_engine() -> None:
    requests = [a_request(1.0, 11.0, first=1.0, output_tokens=101) for _ in range(4)]
    seen = observe(requests, held_by(*requests), 0, SLICE)
    assert seen.step_shares.sum() == pytest.approx(100.0)


def test_queueing_takes_time_but_shares_none() -> None:
    one = a_request(5.0, 8.0, queued_seconds=7)
    seen = observe([one], held_by(one), 0, SLICE)
    assert seen.seconds == pytest.approx([10.0])
    assert seen.shared_seconds == pytest.approx([3.0])


def test_a_cached_prompt_is_seen_whole_but_computed_in_part() -> None:
    seen = observe([one := a_request(1.0, 2.0, prompt_tokens=80, cached_tokens=60)], held_by(one), 0, SLICE)
    assert seen.prompt_tokens == pytest.approx([80.0])
    assert seen.prefill_tokens == pytest.approx([20.0])


def test_the_first_token_is_decoded_only_where_nobody_saw_it_come() -> None:
    told, untold = a_request(1.0, 2.0, first=1.2), a_request(5.0, 6.0)
    seen = observe([told, untold], held_by(told, untold), 0, SLICE)
    assert seen.output_tokens == pytest.approx([11.0, 11.0])
    assert seen.decode_tokens == pytest.approx([10.0, 11.0])


def test_what_the_log_does_not_tell_is_not_a_number() -> None:
    news = Completed("silent", Instant(1.0), Instant(2.0))
    silent = Finished(news, Life(1.0, 1.0, 2.0, 0.0, 0.0))
    seen = observe([silent], held_by(silent), 0, SLICE)
    for unknown in (seen.prompt_tokens, seen.output_tokens, seen.prefill_tokens, seen.step_shares, seen.context_tokens):
        assert np.isnan(unknown).all()
    assert seen.shared_seconds == pytest.approx([1.0])


def test_a_request_whose_first_slices_are_gone_says_nothing_of_sharing() -> None:
    one = a_request(1.0, 5.0)
    seen = observe([one], held_by(one)[:, 20:], 20, SLICE)
    assert np.isnan(seen.shared_seconds).all()


def test_only_whoever_met_nobody_ran_alone() -> None:
    requests = [a_request(1.0, 6.0), a_request(10.0, 15.0), a_request(14.0, 18.0), a_request(25.0, 30.0)]
    assert alone(requests, held_by(*requests)[PRESENCE], 0, SLICE) == [0, 3]


def test_a_hundredth_of_company_still_counts_as_alone() -> None:
    long = a_request(1.0, 31.0)
    assert alone([long], held_by(long, a_request(10.0, 10.25))[PRESENCE], 0, SLICE) == [0]
    assert alone([long], held_by(long, a_request(10.0, 10.45))[PRESENCE], 0, SLICE) == []


def test_a_ghost_never_ran_alone() -> None:
    one = a_request(1.0, 6.0)
    assert alone([Finished(one.news, one.life, ghost=True)], held_by(one)[PRESENCE], 0, SLICE) == []


def test_busy_energy_is_what_is_above_idle_where_nobody_was() -> None:
    presence = np.array([0.0, 0.05, 0.1, 0.3])
    energy = np.full(4, 10.0)
    busy = busy_joules(energy, presence, 60.0, SLICE, net=False)
    assert busy == pytest.approx([0.0, 7.0, 10.0, 10.0])


def test_net_busy_energy_is_without_static_power() -> None:
    busy = busy_joules(np.full(2, 10.0), np.array([0.1, 0.2]), 60.0, SLICE, net=True)
    assert busy == pytest.approx([4.0, 4.0])


def test_tokens_registered_are_those_observed() -> None:
    requests = [a_request(1.0, 6.0, first=2.0), a_request(3.0, 7.0, first=3.5)]
    seen = observe(requests, held := held_by(*requests), 0, SLICE)
    assert held[DECODE].sum() == pytest.approx(seen.decode_tokens.sum())
