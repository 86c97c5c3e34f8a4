"""vLLM's log. What its lines mean is in vllm_lines: KServe's Hugging Face server prints them too."""

from collections.abc import Mapping
from typing import Any

from exporter.domain.errors import ConfigError
from exporter.requests.parts.stamps import time_zone
from exporter.requests.parts.vllm_lines import VllmReader
from exporter.requests.reader import RequestReader

KNOWS = {
    "start": "arrival, with --enable-log-requests; queueing included",
    "first_token": "with --enable-log-outputs, for streams whose deltas are logged",
    "end": "with --enable-log-outputs (V1), or always with V0's own engine; aborts always",
    "tokens": "no",
    "clock": "local time in whole seconds; milliseconds with --logging-config.formatter json",
}
ADVICE = (
    "Run vLLM with --enable-log-requests --enable-log-outputs --max-log-len 0 to show when requests start and end "
    "(--no-enable-log-deltas for a shorter log, but then without first tokens; up to 0.10.0 requests are logged by "
    "default, and V1 shows no ends); add --logging-config.formatter json for millisecond stamps where it exists."
)


def build(options: Mapping[str, Any], timezone: str | None) -> RequestReader:
    """A reader of vLLM's log. It has no options.

    Raises:
        ConfigError: an option was given, or the time zone is unknown.
    """
    for key in options:
        raise ConfigError(f"options.{key}", "the source vllm has no options")
    return VllmReader(time_zone(timezone))
