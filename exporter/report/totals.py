"""All of an account together. Pure."""

from collections import Counter
from collections.abc import Sequence
from math import fsum

from exporter.domain.readings import Method
from exporter.domain.snapshot import Direction, Share
from exporter.report.account import Account, Usage
from exporter.report.summary import Totals


def totals(account: Account) -> Totals:
    """The books' rows, summed over all devices, and what was served."""

    def booked(share: Share) -> float:
        return fsum(book.booked.get(share, 0.0) for book in account.books)

    requests: Counter[str] = Counter()
    for one in account.usages:
        requests.update(one.requests)
    return Totals(
        metered_joules=fsum(book.metered_joules for book in account.books),
        request_joules=booked("requests"),
        idle_joules=booked("idle"),
        unattributed_joules=booked("unattributed"),
        unsettled_joules=fsum(book.unsettled_joules for book in account.books),
        requests=dict(requests),
        input_tokens=tokens(account.usages, "input"),
        output_tokens=tokens(account.usages, "output"),
        methods=methods(account),
    )


def methods(account: Account) -> tuple[Method, ...]:
    """How the joules of an account came to be known: of its devices, and of requests."""
    known = {book.device.method for book in account.books} | {one.method for one in account.usages if one.method}
    return tuple(sorted(known))


def tokens(usages: Sequence[Usage], direction: Direction) -> int:
    """Of settled requests."""
    return sum(one.tokens.get(direction, 0) for one in usages)
