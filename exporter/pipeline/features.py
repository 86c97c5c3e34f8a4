"""What can be seen of requests without a power meter, read off the slices in which they ran; who of them ran alone.

How many others were there changes from slice to slice, so what depends on it (shared seconds, step shares) is an
integral over a request's life, read off cumulated sums over the slices: the cost hardly grows with the batch.
"""

from collections.abc import Sequence

import numpy as np

from exporter.attribution.policy import step_rate
from exporter.ledger.claims import Claims, Floats
from exporter.ledger.spread import Runs, integrals
from exporter.pipeline.learning import scene
from exporter.pipeline.waiting import Finished
from exporter.proxy.proxy import Features

_MOST_COMPANY = 0.01
"""A request ran alone if others were in its slices for no more than this part of its life."""


def sharing(held: Floats, slice_seconds: float) -> tuple[Floats, Floats]:
    """What a second of presence is worth in each slice: (shared seconds, step shares), each of shape (slices,).

    Args:
        held: what is or was there of one server, of shape (quantities, slices).
        slice_seconds: length of a slice.
    """
    here = scene(held, slice_seconds)
    alike = 1.0 / np.maximum(here.presence / slice_seconds, 1.0)
    return alike, step_rate(here) * alike


def observe(finished: Sequence[Finished], held: Floats, first: int, slice_seconds: float) -> Features:
    """Features of requests that settle, a row each.

    Args:
        finished: the requests.
        held: what is or was there of their server, of shape (quantities, slices), from slice number `first` on.
        first: number of the first of those slices.
        slice_seconds: length of a slice.
    """
    claims = Claims.of([one.life for one in finished])
    whole = np.array([_is_whole(one) for one in finished]) & (claims.start >= first * slice_seconds)
    integrals = [
        np.where(whole, _integral(worth * slice_seconds, claims, first, slice_seconds), np.nan)
        for worth in sharing(held, slice_seconds)
    ]
    prompt, output, prefill, decode = _tokens(finished)
    return Features(
        requests=np.ones(len(finished)),
        seconds=np.array([one.news.end - one.news.start + one.news.queued_seconds for one in finished]),
        served_seconds=claims.end - claims.start,
        shared_seconds=integrals[0],
        prompt_tokens=prompt,
        output_tokens=output,
        prefill_tokens=prefill,
        decode_tokens=decode,
        step_shares=np.where(np.isnan(decode), np.nan, integrals[1]),
        context_tokens=decode * claims.context,
    )


def alone(finished: Sequence[Finished], presence: Floats, first: int, slice_seconds: float) -> list[int]:
    """Which of these requests ran alone, by their index.

    Args:
        finished: the requests.
        presence: of everybody on their devices, of shape (slices,), from slice number `first` on.
        first: number of the first of those slices.
        slice_seconds: length of a slice.
    """
    claims = Claims.of([one.life for one in finished])
    into = np.floor(claims.start / slice_seconds).astype(np.intp) - first
    out_of = np.floor(claims.end / slice_seconds).astype(np.intp) - first + 1
    inside = (into >= 0) & (out_of <= len(presence))
    around = integrals(presence, Runs(np.where(inside, into, 0.0), np.where(inside, out_of, 0.0)))
    life = claims.end - claims.start
    known = np.array([_is_whole(one) and not one.ghost for one in finished])
    chosen: list[int] = np.flatnonzero(inside & known & (around - life <= _MOST_COMPANY * life)).tolist()
    return chosen


def _is_whole(one: Finished) -> bool:
    """Whether all of its life is still to settle: no slice has closed under it while it ran."""
    return one.life.start <= one.news.start


def overlap(start: float, end: float, numbers: range, slice_seconds: float) -> Floats:
    """Seconds of [start, end) in each of these slices."""
    edges = np.arange(numbers.start, numbers.stop + 1) * slice_seconds
    inside: Floats = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    return np.maximum(inside, 0.0)


def busy_joules(energy: Floats, presence: Floats, floor_watts: float, slice_seconds: float, *, net: bool) -> Floats:
    """The energy of each slice without what is idle energy: joules of shape (slices,).

    Args:
        energy: metered, of one device, of shape (slices,).
        presence: of everybody on it, of shape (slices,).
        floor_watts: its idle power.
        slice_seconds: length of a slice.
        net: idle power is no part of busy energy even while somebody is there.
    """
    idle_seconds = slice_seconds if net else np.maximum(slice_seconds - presence, 0.0)
    return np.where(presence > 0.0, np.maximum(energy - floor_watts * idle_seconds, 0.0), 0.0)


def _integral(per_slice: Floats, claims: Claims, first: int, slice_seconds: float) -> Floats:
    start, end = (np.clip(edge / slice_seconds - first, 0.0, len(per_slice)) for edge in (claims.start, claims.end))
    return integrals(per_slice, Runs(start, end))


def _tokens(finished: Sequence[Finished]) -> tuple[Floats, Floats, Floats, Floats]:
    """Prompt, output, prefill and decode tokens as the log tells them; NaN where it does not."""
    rows = [_told(one) for one in finished]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


def _told(one: Finished) -> tuple[float, float, float, float]:
    news = one.news
    prompt = float(news.prompt_tokens) if news.prompt_tokens is not None else np.nan
    output = float(news.output_tokens) if news.output_tokens is not None else np.nan
    prefill = max(prompt - (news.cached_tokens or 0), 0.0) if news.prompt_tokens is not None else np.nan
    decode = max(output - (news.first_token is not None), 0.0) if news.output_tokens is not None else np.nan
    return prompt, output, prefill, decode
