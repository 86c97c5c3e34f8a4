"""Which request of a recording is which of the clients': by its id where the log told it, else by times and tokens.

Without ids, a pair must overlap in time and agree on the tokens that both know; of all pairs that do, those whose
times are closest are joined first. Requests that are alike in both respects may be swapped, and nothing that is judged
by groups of requests that are alike depends on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporter.domain.snapshot import SettledRequest
from validation.judging.finding import Findings
from validation.judging.played import Played, Variant
from validation.serving.run import ClientTruth

_SLACK_SECONDS = 1.0
"""Clocks of a log may be off by so much, and a line be written so late."""
_TOKENS_APART = 2
"""A server may count a token of its own into the prompt, such as the one that begins every text."""
_FOUND_SHARE = 0.99
_END_SECONDS = 0.1
"""A slice of the ledger: what is off by less is attributed to the right moment."""


@dataclass(frozen=True, slots=True)
class Matched:
    """A request as its client knows it, and as the exporter does.

    Attributes:
        client, told: the two views. joules: by variant of a policy.
    """

    client: ClientTruth
    told: SettledRequest
    joules: Mapping[Variant, float]

    @property
    def start_error(self) -> float:
        """Seconds by which the exporter's start is later than the client's: the way there, and the queue."""
        return self.told.start - self.told.queued_seconds - self.client.start

    @property
    def end_error(self) -> float:
        """Seconds by which the exporter's end is later."""
        return self.told.end - self.client.end

    @property
    def first_token_error(self) -> float | None:
        """Seconds by which the exporter's first token is later; None where one of the two does not know it."""
        told = self.told.time_to_first_token_seconds
        if told is None or self.client.first_token is None:
            return None
        return self.told.start - self.told.queued_seconds + told - self.client.first_token

    @property
    def shape(self) -> tuple[int, int]:
        """Prompt and output tokens, as the client knows them."""
        client = self.client
        return client.prompt_tokens, client.asked_tokens if client.output_tokens is None else client.output_tokens


@dataclass(frozen=True, slots=True)
class Matching:
    """All of it.

    Attributes:
        matched: by the clients' starts. by_id: how many of them by their ids.
        missing: the clients' whole answers that the exporter does not know.
        extra: requests of the exporter's, during the load, that no client sent.
    """

    matched: tuple[Matched, ...]
    by_id: int
    missing: tuple[ClientTruth, ...]
    extra: tuple[SettledRequest, ...]


def match(clients: Sequence[ClientTruth], played: Played) -> Matching:
    """Join them."""
    told = played.told[played.recorded].settled
    pairs = _by_id(clients, told)
    by_id = len(pairs)
    left = [client for client in clients if client.id not in pairs]
    taken = {id(one) for one in pairs.values()}
    pairs |= _by_time(left, [one for one in told if id(one) not in taken])
    taken = {id(one) for one in pairs.values()}
    joules = {policy: {_key(one): one.joules for one in each.settled} for policy, each in played.told.items()}
    matched = [
        Matched(client, pairs[client.id], {policy: mine[_key(pairs[client.id])] for policy, mine in joules.items()})
        for client in clients
        if client.id in pairs and all(_key(pairs[client.id]) in mine for mine in joules.values())
    ]
    return Matching(
        matched=tuple(sorted(matched, key=lambda one: one.client.start)),
        by_id=by_id,
        missing=tuple(client for client in clients if client.id not in pairs and client.outcome == "ok"),
        extra=tuple(one for one in told if id(one) not in taken and _during(one, clients)),
    )


def _key(one: SettledRequest) -> tuple[str, str, float]:
    return one.server, one.id, one.start


def _during(one: SettledRequest, clients: Sequence[ClientTruth]) -> bool:
    began, ended = (min((c.start for c in clients), default=0.0), max((c.end for c in clients), default=0.0))
    return one.end > began and one.start < ended


def _by_id(clients: Sequence[ClientTruth], told: Sequence[SettledRequest]) -> dict[str, SettledRequest]:
    """Servers add to an id before it (`cmpl-`) and after it (`-0`)."""
    wrapped = {_bare(one.id): one for one in told}
    known = wrapped | {one.id: one for one in told}
    return {client.id: known[client.id] for client in clients if client.id in known}


def _bare(id_: str) -> str:
    return id_.removeprefix("chatcmpl-").removeprefix("cmpl-").removesuffix("-0")


def _by_time(clients: Sequence[ClientTruth], told: Sequence[SettledRequest]) -> dict[str, SettledRequest]:
    starts = np.array([client.start for client in clients])
    order = np.argsort(starts, kind="stable")
    longest = max((client.end - client.start for client in clients), default=0.0)
    candidates: list[tuple[float, int, int]] = []
    for index, one in enumerate(told):
        first, stop = np.searchsorted(
            starts[order], [one.start - longest - _SLACK_SECONDS, one.end + _SLACK_SECONDS], side="left"
        )
        candidates += [
            (_apart(clients[number], one), number, index)
            for number in order[first:stop].tolist()
            if _may_be(clients[number], one)
        ]
    return _closest(candidates, clients, told)


def _closest(
    candidates: list[tuple[float, int, int]], clients: Sequence[ClientTruth], told: Sequence[SettledRequest]
) -> dict[str, SettledRequest]:
    pairs: dict[str, SettledRequest] = {}
    taken: set[int] = set()
    for _, number, index in sorted(candidates):
        if clients[number].id not in pairs and index not in taken:
            pairs[clients[number].id] = told[index]
            taken.add(index)
    return pairs


def _may_be(client: ClientTruth, one: SettledRequest) -> bool:
    together = one.start < client.end + _SLACK_SECONDS and one.end > client.start - _SLACK_SECONDS
    prompt = one.prompt_tokens is None or abs(one.prompt_tokens - client.prompt_tokens) <= _TOKENS_APART
    both = one.output_tokens is not None and client.output_tokens is not None
    return together and prompt and (not both or abs((one.output_tokens or 0) - (client.output_tokens or 0)) <= 1)


def _apart(client: ClientTruth, one: SettledRequest) -> float:
    """By their ends first: before its start a request may have queued."""
    return abs(one.end - client.end) + 0.1 * abs(one.start - one.queued_seconds - client.start)


# --- what it says ----------------------------------------------------------------------------------------------------


def judge(matching: Matching, clients: Sequence[ClientTruth], found: Findings) -> None:
    """How many were found, and how far off their times are."""
    whole = [client for client in clients if client.outcome == "ok"]
    known = len(whole) - len(matching.missing)
    found.check(
        "every answer is known",
        f"at least {_FOUND_SHARE:.0%} of the clients' whole answers",
        f"{known} of {len(whole)}, {matching.by_id} of all by their ids",
        known >= _FOUND_SHARE * len(whole) if whole else None,
    )
    found.check(
        "no request that nobody sent",
        "none while the load lasted",
        str(len(matching.extra)),
        not matching.extra if whole else None,
    )
    ok = [one for one in matching.matched if one.client.outcome == "ok"]
    _judge_tokens(ok, found)
    errors = {
        "start": [one.start_error for one in ok],
        "first_token": [one.first_token_error for one in ok if one.first_token_error is not None],
        "end": [one.end_error for one in ok],
    }
    for what, seconds in errors.items():
        found.spread(f"{what}_error_seconds", seconds, "s", "the exporter's less the client's")
    off = float(np.median(np.abs(errors["end"]))) if ok else None
    found.check(
        "ends are told in time",
        f"half of them within {_END_SECONDS * 1e3:.0f} ms",
        "nothing was matched" if off is None else f"half within {off * 1e3:.1f} ms",
        None if off is None else off <= _END_SECONDS,
    )


def _judge_tokens(ok: Sequence[Matched], found: Findings) -> None:
    both = [one for one in ok if one.told.output_tokens is not None and one.client.output_tokens is not None]
    same = sum(one.told.output_tokens == one.client.output_tokens for one in both)
    found.check(
        "output tokens are the client's",
        f"in at least {_FOUND_SHARE:.0%}",
        f"{same} of {len(both)} for which both know them",
        same >= _FOUND_SHARE * len(both) if both else None,
    )
