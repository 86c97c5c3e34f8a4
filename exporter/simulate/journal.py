"""What one replica writes down: its log as vLLM would, and a fact of each request."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from exporter.simulate.engine import Passage
from exporter.simulate.facts import fact
from exporter.simulate.gauges import Gauges
from exporter.simulate.logfile import LIMIT_BYTES, LogFile, Rotation
from exporter.simulate.replica import News, Replica
from exporter.simulate.vllm_lines import STATS_SECONDS, Stats, VllmLines

VLLM, FACTS = "vllm.log", "requests.jsonl"


class Journal:
    """The logs of one replica.

    Args:
        replica: whose. model: the name under which it serves.
        directory: where its files go.
        begin: time zero of the simulation by the wall clock, in seconds since the epoch.
        seed: of the ports and ids that mean nothing, and of which lines get lost.
    """

    def __init__(  # noqa: PLR0913 - who writes what where, and the bound on it
        self, replica: Replica, model: str, directory: Path, begin: float, seed: int, *, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._model = model
        self._begin = begin
        chance = Random(f"{seed}/{replica.name}")  # noqa: S311 - repeatable, no secret
        self._lines = VllmLines(model, 6000 + chance.randrange(1000), begin, chance)
        self.vllm = LogFile(directory / VLLM, chance, limit_bytes=limit_bytes)
        self.facts = LogFile(directory / FACTS, chance, limit_bytes=limit_bytes)
        self._stats_at = STATS_SECONDS
        self._counted = (0, 0)
        self.vllm.write(self._lines.started(0.0))

    def tell(self, news: News, gauges: Gauges, until: float) -> None:
        """Write down what happened until then."""
        self.vllm.write(self._tell_vllm(news))
        self.facts.write(fact(one, self._model, self._begin) for one in news.gone if one.outcome != "error")
        if until >= self._stats_at:
            self.vllm.write([self._stats(gauges, until)])

    def restarted(self, at: float) -> None:
        """The server is back."""
        self.vllm.write(self._lines.started(at))

    def rotate(self, how: Rotation) -> None:
        """Both files at once."""
        self.vllm.rotate(how)
        self.facts.rotate(how)

    def lose(self, share: float) -> None:
        """From now on this share of the lines is lost."""
        self.vllm.loss = self.facts.loss = share

    def close(self) -> None:
        """Write no more."""
        self.vllm.close()
        self.facts.close()

    def _tell_vllm(self, news: News) -> Iterator[str]:
        """Lines in the order of what they are about."""
        happened: list[tuple[float, bool, Passage]] = [(one.arrival, False, one) for one in news.arrived]
        happened += [(one.end or 0.0, True, one) for one in news.gone]
        for _, over, passage in sorted(happened, key=lambda one: one[:2]):
            yield from self._lines.gone(passage) if over else self._lines.arrived(passage)

    def _stats(self, gauges: Gauges, until: float) -> str:
        counted = (gauges.prompt_tokens, gauges.output_tokens)
        seconds = until - self._stats_at + STATS_SECONDS
        prompt_rate, output_rate = ((now - then) / seconds for now, then in zip(counted, self._counted, strict=True))
        self._stats_at, self._counted = until + STATS_SECONDS, counted
        stats = Stats(prompt_rate, output_rate, gauges.running, gauges.waiting, gauges.cache_usage)
        return self._lines.stats(until, stats)
