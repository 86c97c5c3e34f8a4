"""What one server's requests, and its news of them, are usually like: how long, how late, how fast."""

from collections import deque
from collections.abc import Mapping
from math import inf
from typing import Any

from exporter.domain.events import Completed
from exporter.ledger.claims import Life

LEAST_SILENCE_SECONDS = 60.0
SILENCE_FACTOR = 3.0
"""A start without an end is given up after this many times the longest recent request."""
_BELIEF_FACTOR = 1.5
_BELIEF_LEAST = 20
"""So many requests must be known to say how long one is believed to run."""
_LONGEST_LIFE_HORIZONS = 4.0
_RECENT = 255


class Usual:
    """What this server's requests and its news of them are usually like."""

    def __init__(self) -> None:
        self.durations: deque[float] = deque(maxlen=_RECENT)
        self._delays: deque[float] = deque(maxlen=_RECENT)
        self.tokens_per_second = 0.0
        self.prompt_tokens = 0.0
        self.tells_tokens = self.tells_prompts = False
        self.uncertainty = {"start": 0.0, "end": 0.0}

    def duration(self) -> float:
        """The median duration in seconds; 0 while unknown."""
        known = sorted(self.durations)
        return known[len(known) // 2] if known else 0.0

    def silence(self, horizon_seconds: float) -> float:
        """How long a request may run before its end is taken for lost."""
        longest = max(self.durations, default=horizon_seconds / SILENCE_FACTOR)
        return min(max(LEAST_SILENCE_SECONDS, SILENCE_FACTOR * longest), _LONGEST_LIFE_HORIZONS * horizon_seconds)

    def believable(self) -> float:
        """How long a request holds a reservation without its end being heard: as long as recent ones, and some more.

        Beyond that a lost end is likelier than a long life, and would withhold everyone else's energy.
        """
        return _BELIEF_FACTOR * max(self.durations) if len(self.durations) >= _BELIEF_LEAST else inf

    def delay(self) -> float:
        """How late recent news was at the worst: after a request's start if that was its first news, else its end."""
        return max(self._delays, default=0.0)

    @property
    def heard(self) -> bool:
        """Whether anything is known of how late news is."""
        return bool(self._delays)

    def hear(self, happened: float, heard_at: float | None) -> None:
        """Note how late news was; news from before we listened says nothing of that."""
        if heard_at is not None:
            self._delays.append(max(heard_at - happened, 0.0))

    def learn(self, news: Completed, life: Life) -> None:
        """Take in a finished request."""
        self.durations.append(news.end - news.start)
        for edge, seconds in (("start", news.start_uncertainty), ("end", news.end_uncertainty)):
            self.uncertainty[edge] += 0.05 * (seconds - self.uncertainty[edge])
        self.tells_prompts |= news.prompt_tokens is not None
        if news.output_tokens and life.end > life.first_token:
            self.tells_tokens = True
            rate = life.decode_tokens / (life.end - life.first_token)
            self.tokens_per_second += (rate - self.tokens_per_second) * (0.1 if self.tokens_per_second else 1.0)

    def hear_token_rate(self, tokens_per_second: float) -> None:
        """The server's own counters show this rate of each request; news of tokens itself is believed more."""
        if not self.tells_tokens:
            known = self.tokens_per_second > 0.0
            self.tokens_per_second += (tokens_per_second - self.tokens_per_second) * (0.2 if known else 1.0)

    def hear_prompts(self, mean_tokens: float) -> None:
        """The server's own counters show this mean prompt; news of prompts itself is believed more."""
        self.prompt_tokens = 0.0 if self.tells_prompts else mean_tokens

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "tells": [self.tells_tokens, self.tells_prompts],
            "durations": list(self.durations),
            "delays": list(self._delays),
            "tokens_per_second": self.tokens_per_second,
            "uncertainty": self.uncertainty,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self.durations.extend(snapshot["durations"])
        self._delays.extend(snapshot["delays"])
        self.tokens_per_second = snapshot["tokens_per_second"]
        self.prompt_tokens = snapshot.get("prompt_tokens", 0.0)
        self.tells_tokens, self.tells_prompts = snapshot.get("tells", (self.tokens_per_second > 0.0, False))
        self.uncertainty = dict(snapshot["uncertainty"])
