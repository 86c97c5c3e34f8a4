"""A log in a container runtime's envelope tells what it tells without."""

import pytest

from exporter.domain.events import Completed, Ended, RequestEvent, Started
from tests.requests.replay import ALL_LOGS, WRAPPED_LOGS, Log, back_read, events, feed, surveyed

PAIRS = [(log, bare) for log in WRAPPED_LOGS for bare in ALL_LOGS if bare.name == f"{log.name.rsplit('.', 2)[0]}.log"]
LIMITED = [(log, bare) for log in WRAPPED_LOGS for bare in ALL_LOGS if bare.name == "sglang-0.5.23-driver.log"]


def _who(log: Log) -> list[tuple[object, ...]]:
    return [_named(one) for one in events(feed(surveyed(log), back_read(log)))]


def _named(event: RequestEvent) -> tuple[object, ...]:
    if isinstance(event, Started):
        return "started", event.id
    if isinstance(event, Ended | Completed):
        return "ended", event.id, event.outcome, event.prompt_tokens, event.output_tokens
    return (type(event).__name__,)


@pytest.mark.parametrize(
    ("wrapped", "bare"),
    [*PAIRS, *((log, bare) for log, bare in LIMITED if "limit2048" in log.name)],
    ids=lambda log: log.name,
)
def test_the_same_requests_are_told(wrapped: Log, bare: Log) -> None:
    assert sum(name == "ended" for name, *_ in _who(wrapped)) >= 10
    assert _who(wrapped) == _who(bare)


def test_every_wrapped_log_is_compared_but_the_one_whose_bare_lines_have_no_name() -> None:
    assert {log.name for log in WRAPPED_LOGS} - {log.name for log, _ in PAIRS} == {
        "llama-server-b7079.docker.log",
        "sglang-0.5.23-driver-limit2048.cri.log",
    }
