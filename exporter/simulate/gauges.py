"""The server's own metrics, under vLLM's names and with its buckets (0.32), as far as a simulation has them.

One engine a replica; the model's name says that it is simulated.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from exporter.simulate.engine import Passage
from exporter.simulate.replica import News, Replica

CACHE_TOKENS = 400_000
"""Assumed: tokens that fit into a replica's key-value cache."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCY = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0)
_BETWEEN_TOKENS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0)
_TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
_REASONS = {"ok": "stop", "aborted": "abort", "error": "error"}


class Distribution:
    """A histogram being filled."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times


class Gauges:
    """One replica's metrics. `prompt_tokens`, `output_tokens`: processed so far."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.finished: Counter[str] = Counter()
        self.refused = 0
        self.first_token = Distribution(_FIRST_TOKEN)
        self.between_tokens = Distribution(_BETWEEN_TOKENS)
        self.latency = Distribution(_LATENCY)
        self.queueing = Distribution(_LATENCY)
        self.prompt = Distribution(_TOKENS)
        self.generated = Distribution(_TOKENS)

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return self._replica.running

    @property
    def waiting(self) -> int:
        """Requests that wait for a place in it."""
        return self._replica.waiting

    @property
    def cache_usage(self) -> float:
        """How full the key-value cache is, from 0 to 1."""
        return min(self._replica.context_tokens / CACHE_TOKENS, 1.0)

    def tell(self, news: News) -> None:
        """Take in what happened."""
        for step in news.steps:
            self.prompt_tokens += step.prefill_tokens
            self.output_tokens += step.decoding
            if step.decoding:
                self.between_tokens.observe(step.end - step.start, step.decoding)
        self.output_tokens += len(news.firsts)
        for one in news.firsts:
            self.first_token.observe((one.first_token or 0.0) - one.arrival)
        for one in news.gone:
            self._tell_end(one)
        self.refused += len(news.refused)

    def _tell_end(self, passage: Passage) -> None:
        assert passage.end is not None
        assert passage.outcome is not None
        self.finished[_REASONS[passage.outcome]] += 1
        started = passage.end if passage.start is None else passage.start
        self.latency.observe(passage.end - passage.arrival)
        self.queueing.observe(started - passage.arrival)
        self.prompt.observe(passage.request.prompt_tokens)
        self.generated.observe(passage.output_tokens)


class _Family(NamedTuple):
    name: str
    kind: str
    text: str


_RUNNING = _Family("vllm:num_requests_running", "gauge", "Requests in the batch.")
_WAITING = _Family("vllm:num_requests_waiting", "gauge", "Requests that wait for a place in the batch.")
_CACHE = _Family("vllm:kv_cache_usage_perc", "gauge", "How full the key-value cache is; 1 is full.")
_PROMPT = _Family("vllm:prompt_tokens_total", "counter", "Prompt tokens processed.")
_OUTPUT = _Family("vllm:generation_tokens_total", "counter", "Tokens generated.")
_FINISHED = _Family("vllm:request_success_total", "counter", "Requests that ended, by how.")
_REFUSED = _Family("vllm:admission_rejections_total", "counter", "Requests that were not taken in.")
_DISTRIBUTIONS = (
    (_Family("vllm:time_to_first_token_seconds", "histogram", "From arrival to the first token."), "first_token"),
    (_Family("vllm:inter_token_latency_seconds", "histogram", "From one token to the next."), "between_tokens"),
    (_Family("vllm:e2e_request_latency_seconds", "histogram", "From arrival to the end."), "latency"),
    (_Family("vllm:request_queue_time_seconds", "histogram", "From arrival to the first step."), "queueing"),
    (_Family("vllm:request_prompt_tokens", "histogram", "Prompt tokens of a request."), "prompt"),
    (_Family("vllm:request_generation_tokens", "histogram", "Tokens that a request was given."), "generated"),
)


def exposition(gauges: Sequence[Gauges], model: str) -> str:
    """All replicas' metrics as text. `model`: the name under which they serve."""
    labels = [f'engine="{number}",model_name="{model}"' for number in range(len(gauges))]
    return "".join(f"{line}\n" for line in _lines(list(zip(labels, gauges, strict=True))))


def _lines(engines: list[tuple[str, Gauges]]) -> Iterator[str]:
    plain = (
        (_RUNNING, [one.running for _, one in engines]),
        (_WAITING, [one.waiting for _, one in engines]),
        (_CACHE, [one.cache_usage for _, one in engines]),
        (_PROMPT, [one.prompt_tokens for _, one in engines]),
        (_OUTPUT, [one.output_tokens for _, one in engines]),
    )
    for family, values in plain:
        yield from _head(family)
        yield from (f"{family.name}{{{mine}}} {value}" for (mine, _), value in zip(engines, values, strict=True))
    yield from _head(_FINISHED)
    for mine, one in engines:
        yield from (
            f'{_FINISHED.name}{{{mine},finished_reason="{why}"}} {one.finished[why]}' for why in _REASONS.values()
        )
    yield from _head(_REFUSED)
    yield from (f'{_REFUSED.name}{{{mine},reason="max_num_queued_reqs"}} {one.refused}' for mine, one in engines)
    for family, attribute in _DISTRIBUTIONS:
        yield from _head(family)
        for mine, one in engines:
            yield from _histogram(family.name, mine, getattr(one, attribute))


def _head(family: _Family) -> Iterator[str]:
    yield f"# HELP {family.name} SIMULATED. {family.text}"
    yield f"# TYPE {family.name} {family.kind}"


def _histogram(name: str, labels: str, distribution: Distribution) -> Iterator[str]:
    total = 0
    for bound, count in zip((*distribution.bounds, float("inf")), distribution.counts, strict=True):
        total += count
        yield f'{name}_bucket{{{labels},le="{"+Inf" if bound == float("inf") else bound}"}} {total}'
    yield f"{name}_sum{{{labels}}} {distribution.sum}"
    yield f"{name}_count{{{labels}}} {total}"
