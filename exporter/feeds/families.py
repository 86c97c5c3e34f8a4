"""Which families of a server's own `/metrics` say how many requests run and how many tokens there were.

A page is some fifty kilobytes of histograms, of which a handful of lines matter: only those are parsed. What a server
tells apart by labels (engines, models, ranks) is added up.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Families(NamedTuple):
    """What one server calls them; where there are several names, the first that is on the page is meant.

    TGI and llama-server count a request's tokens when it ends; vLLM and SGLang as they come.
    """

    server: str
    running: Sequence[str] = ()
    waiting: Sequence[str] = ()
    prompt_tokens: Sequence[str] = ()
    output_tokens: Sequence[str] = ()


KNOWN = (
    Families(
        "vLLM",
        ("vllm:num_requests_running",),
        ("vllm:num_requests_waiting",),
        ("vllm:prompt_tokens_total", "vllm:prompt_tokens"),
        ("vllm:generation_tokens_total", "vllm:generation_tokens"),
    ),
    Families(
        "SGLang",
        ("sglang:num_running_reqs",),
        ("sglang:num_queue_reqs",),
        ("sglang:prompt_tokens_total",),
        ("sglang:generation_tokens_total",),
    ),
    Families(
        "TGI",
        ("tgi_batch_current_size",),
        ("tgi_queue_size",),
        ("tgi_request_input_length_sum",),
        ("tgi_request_generated_tokens_sum",),
    ),
    Families(
        "llama-server",
        ("llamacpp:requests_processing",),
        ("llamacpp:requests_deferred",),
        ("llamacpp:prompt_tokens_total",),
        ("llamacpp:tokens_predicted_total",),
    ),
    Families("Triton", waiting=("nv_inference_pending_request_count",)),
)
_QUANTITIES = ("running", "waiting", "prompt_tokens", "output_tokens")
_NAMES = frozenset(name for one in KNOWN for quantity in _QUANTITIES for name in getattr(one, quantity))
_PREFIXES = ("vllm:", "sglang:", "tgi_", "llamacpp:", "nv_inference_pending")


class Told(NamedTuple):
    """What a page says. `server`: whose families they are."""

    server: str
    running: float | None
    waiting: float | None
    prompt_tokens: float | None
    output_tokens: float | None


def read(page: str) -> Told | None:
    """What this page says of requests; None where it has none of the families.

    Raises:
        ValueError: a line that matters is no sample.
    """
    sums = _sums(page)
    for one in KNOWN:
        values = [next((sums[name] for name in getattr(one, each) if name in sums), None) for each in _QUANTITIES]
        if any(value is not None for value in values):
            return Told(one.server, *values)
    return None


def _sums(page: str) -> Mapping[str, float]:
    """Samples of the families, added up by name. What is no number is left out."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families("".join(_lines(page))):
        for sample in family.samples:
            if isfinite(sample.value):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _lines(page: str) -> Iterator[str]:
    for line in page.splitlines():
        if line.startswith(_PREFIXES) and line.partition("{")[0].partition(" ")[0] in _NAMES:
            yield f"{line}\n"
