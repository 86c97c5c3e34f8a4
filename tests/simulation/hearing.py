"""A simulated run as the events that request sources would say about it, exact, with chosen blind spots."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from exporter.domain.events import Completed, Ended, FirstToken, RequestEvent, Started
from exporter.domain.units import Instant
from exporter.simulate.batching import Run, Served


class News(NamedTuple):
    """An event, and when it is heard."""

    at: Instant
    event: RequestEvent


@dataclass(frozen=True, slots=True)
class Sight:
    """What a source can see.

    Attributes:
        whole: it speaks only at the end, in one piece.
        tokens: it knows how many tokens there were.
        first_token: it knows when the first one came.
        execution: it knows when execution began; otherwise a request seems to start when it arrives.
        model: it knows the model's name.
        delay_seconds: how late everything is heard.
    """

    whole: bool = False
    tokens: bool = True
    first_token: bool = True
    execution: bool = True
    model: bool = True
    delay_seconds: float = 0.0


def events(run: Run, sight: Sight = Sight()) -> list[News]:
    """All events of a run in the order in which they are heard."""
    tell = _completed if sight.whole else _parts
    model = run.physics.model if sight.model else None
    told = [news for served in run.served for news in tell(served, model, sight)]
    return sorted((News(Instant(at + sight.delay_seconds), event) for at, event in told), key=lambda news: news.at)


def _start(served: Served, sight: Sight) -> Instant:
    return served.start if sight.execution else served.arrival


def _parts(served: Served, model: str | None, sight: Sight) -> Iterator[News]:
    start = _start(served, sight)
    prompt_tokens = served.prompt_tokens if sight.tokens else None
    yield News(start, Started(served.id, start, model=model, prompt_tokens=prompt_tokens))
    if sight.first_token:
        yield News(served.first_token, FirstToken(served.id, served.first_token))
    yield News(
        served.end,
        Ended(
            served.id,
            served.end,
            outcome=served.outcome,
            closing="finish" if served.outcome == "ok" else "abort",
            model=model,
            prompt_tokens=prompt_tokens,
            cached_tokens=served.cached_tokens if sight.tokens else None,
            output_tokens=served.output_tokens if sight.tokens else None,
        ),
    )


def _completed(served: Served, model: str | None, sight: Sight) -> Iterator[News]:
    yield News(
        served.end,
        Completed(
            served.id,
            _start(served, sight),
            served.end,
            first_token=served.first_token if sight.first_token else None,
            queued_seconds=served.queued_seconds if sight.execution else 0.0,
            outcome=served.outcome,
            model=model,
            prompt_tokens=served.prompt_tokens if sight.tokens else None,
            cached_tokens=served.cached_tokens if sight.tokens else None,
            output_tokens=served.output_tokens if sight.tokens else None,
        ),
    )
