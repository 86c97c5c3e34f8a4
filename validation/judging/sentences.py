"""What the numbers of a proxy study say, in words: each sentence only where its numbers carry it."""

from collections.abc import Iterator, Sequence

from exporter.domain.settings import ProxyName
from validation.judging.proxies import BINS, GROUNDS, LEARNED, Forgetting, Score, Study

LEAST_SAMPLES = 5
"""With fewer, no proxy is called better than another."""
APART = 1.2
"""An error must be so many times another's before one is called smaller."""


def sentences(study: Study) -> list[str]:
    """All that can be said."""
    return [*_best(study.overall), *_by_load(study.hindsight), *_forgetting(study.forgetting)]


def _known(scores: Sequence[Score]) -> dict[ProxyName, Score]:
    """Those with enough samples."""
    return {one.proxy: one for one in scores if one.mape is not None and one.samples >= LEAST_SAMPLES}


def _best(overall: Sequence[Score]) -> Iterator[str]:
    for ground in ("isolated", "window"):
        known = _known([one for one in overall if one.ground == GROUNDS[ground]])
        ranked = sorted((one for one in known.values() if one.proxy != "peak"), key=_error)
        if len(ranked) > 1:
            first, second = ranked[:2]
            words = (
                f"On {GROUNDS[ground]}, {first.proxy} is off by {_error(first):.1%} on average (n = {first.samples})"
            )
            if _error(second) >= APART * _error(first):
                yield f"{words}, the least of all; next is {second.proxy} with {_error(second):.1%}."
            else:
                yield f"{words}; {second.proxy} with {_error(second):.1%} is as good for all that can be told."


def _error(score: Score) -> float:
    assert score.mape is not None, "only those with an error are compared"
    return score.mape


def _by_load(scores: Sequence[Score]) -> Iterator[str]:
    """Time with and without the 1/B, where both are known at the same load."""
    for one in BINS:
        known = _known([score for score in scores if score.at_once == one.name and score.ground == LEARNED])
        if "time" not in known or "time_share" not in known:
            continue
        time, share = _error(known["time"]), _error(known["time_share"])
        count = known["time"].samples
        words = f"In hindsight, with {one.name} requests at once ({count} metered stretches), time is off by {time:.1%}"
        if time >= APART * share:
            yield f"{words}, time divided among those present by {share:.1%}: dividing is better."
        elif share >= APART * time:
            yield f"{words}, time divided among those present by {share:.1%}: dividing is worse."
        else:
            yield f"{words} and time divided among those present by {share:.1%}: no difference can be told."


def _forgetting(known: Sequence[Forgetting]) -> Iterator[str]:
    for one in known:
        if one.at_once != BINS[0].name and one.stretches >= 2:
            yield (
                f"With {one.concurrency:.0f} requests at once, a lone request's watts times latency come to "
                f"{one.ratio:.1f} times the metered energy ({one.stretches} stretches)."
            )
