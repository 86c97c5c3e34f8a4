"""What an answer says of the work it was: in the words of OpenAI, Anthropic, Ollama, llama.cpp, TGI and SGLang. Pure.

Numbers are taken as they stand. Where a server counts cached tokens apart from the prompt's (Anthropic's, llama.cpp's
timings), they are added to it, because everywhere else the prompt's tokens are all of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MOST_TOKENS = 1 << 40
_LONGEST_NAME = 256

Json = Mapping[str, Any]


@dataclass(slots=True)
class Bill:
    """What is known of an answer so far. None: not told.

    Attributes:
        id: the server's own name for the request. failed: it says that it could not do what was asked.
    """

    id: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    failed: bool = False

    def read(self, body: Any) -> None:
        """Take in an answer's JSON, or that of one event of a stream. What comes later is believed."""
        if isinstance(body, list):
            self._read_batch(body)
        elif isinstance(body, dict):
            self._read_one(body)

    def _read_one(self, body: Json) -> None:
        # Anthropic's first event and those of OpenAI's Responses have the answer inside.
        for part in (body, _mapping(body.get("message")), _mapping(body.get("response"))):
            if part:
                self._read_names(part)
                for way in _WAYS:
                    way(self, part)
        self.failed = self.failed or bool(body.get("error")) or body.get("type") in ("error", "response.failed")

    def _read_names(self, part: Json) -> None:
        meta = _mapping(part.get("meta_info"))
        self.id = self.id or _name(part.get("id")) or _name(meta.get("id"))
        self.model = self.model or _name(part.get("model")) or _name(part.get("model_name"))

    def _read_batch(self, bodies: list[Any]) -> None:
        """One answer to several prompts: their sums, if all tell."""
        bills = []
        for body in bodies:
            one = Bill()
            one.read(body)
            bills.append(one)
        if bills:
            self.prompt_tokens = _sum([one.prompt_tokens for one in bills])
            self.cached_tokens = _sum([one.cached_tokens for one in bills])
            self.output_tokens = _sum([one.output_tokens for one in bills])
            self.model = self.model or bills[0].model
            self.failed = any(one.failed for one in bills)

    def take(self, prompt: int | None, cached: int | None, output: int | None) -> None:
        """Believe these numbers, where they are any."""
        self.prompt_tokens = prompt if prompt is not None else self.prompt_tokens
        self.cached_tokens = cached if cached is not None else self.cached_tokens
        self.output_tokens = output if output is not None else self.output_tokens

    def add(self, prompt: int | None, cached: int | None, output: int | None) -> None:
        """Believe these numbers only where nothing else was told."""
        self.prompt_tokens = prompt if self.prompt_tokens is None else self.prompt_tokens
        self.cached_tokens = cached if self.cached_tokens is None else self.cached_tokens
        self.output_tokens = output if self.output_tokens is None else self.output_tokens


def _usage(bill: Bill, body: Json) -> None:
    """OpenAI's `usage`, of completions and of Responses, and Anthropic's."""
    usage = _mapping(body.get("usage"))
    if not usage:
        return
    prompt = _first(usage, "prompt_tokens", "input_tokens")
    output = _first(usage, "completion_tokens", "output_tokens")
    details = _mapping(usage.get("prompt_tokens_details")) or _mapping(usage.get("input_tokens_details"))
    cached = _first(details, "cached_tokens")
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        cached = _count(usage.get("cache_read_input_tokens"))
        if prompt is not None and "input_tokens" in usage:
            prompt += (cached or 0) + (_count(usage.get("cache_creation_input_tokens")) or 0)
    total = _count(usage.get("total_tokens"))
    if output is None and total is not None and prompt is not None and total >= prompt:
        output = total - prompt  # embeddings: nothing is generated
    bill.take(prompt, cached, output)


def _ollama(bill: Bill, body: Json) -> None:
    if body.get("done") is True:
        bill.take(_count(body.get("prompt_eval_count")), None, _count(body.get("eval_count")))


def _llama_cpp(bill: Bill, body: Json) -> None:
    """The native endpoints' own counts, and the `timings` that stand in every answer of llama-server."""
    timings = _mapping(body.get("timings"))
    worked, cached = _count(timings.get("prompt_n")), _count(timings.get("cache_n"))
    whole = None if worked is None or cached is None else worked + cached
    bill.add(_count(body.get("tokens_evaluated")), None, _count(body.get("tokens_predicted")))
    bill.add(whole, cached, _count(timings.get("predicted_n")))


def _tgi(bill: Bill, body: Json) -> None:
    details = _mapping(body.get("details"))
    prefill = details.get("prefill")
    prompt = _count(details.get("input_length"))
    if prompt is None and isinstance(prefill, list) and prefill:
        prompt = len(prefill)
    bill.take(prompt, None, _count(details.get("generated_tokens")))


def _sglang(bill: Bill, body: Json) -> None:
    meta = _mapping(body.get("meta_info"))
    bill.take(*(_count(meta.get(name)) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")))


_WAYS: tuple[Callable[[Bill, Json], None], ...] = (_usage, _ollama, _tgi, _sglang, _llama_cpp)


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _name(value: Any) -> str | None:
    return value[:_LONGEST_NAME] if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else None


def _first(body: Json, *names: str) -> int | None:
    return next((count for name in names if (count := _count(body.get(name))) is not None), None)


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
