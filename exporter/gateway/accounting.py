"""Telling of the requests that pass: when, whose, how many tokens. It can fail; the traffic cannot by it.

Each step of a call is guarded: a bug in here is counted (a fault of ours, and a dropped piece of news), the call is
told to have ended without its numbers, and what passes through the gateway does not notice.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from multidict import CIMultiDict, MultiMapping

from exporter.domain.events import Ended, FirstToken, Outcome, Started
from exporter.domain.settings import TenantSettings
from exporter.domain.units import Instant
from exporter.feeds.inbox import Inbox
from exporter.gateway.asked import model_asked
from exporter.gateway.bill import Bill
from exporter.gateway.naming import Trace, UniqueIds, new_id, tenant_of, trace_of, valid_id
from exporter.gateway.reading import Reading, Trust, Unread, reading_for
from exporter.requests.posted.proxied import ProxyOptions

log = logging.getLogger(__name__)

FAILED = "accounting_failed"
"""Why news was dropped: a bug of ours."""
COMPRESSED = "compressed_answer"
TOO_LONG = "long_event"
NOT_INFERENCE = "not_inference"
STAGE = "gateway"

_CLIENT_LEFT = 499

Now = Callable[[], Instant]
Fault = Callable[[str], None]
Estimate = Callable[[str, str | None, float, int | None, int | None, float | None], tuple[float, str] | None]
"""(server, model, seconds, prompt tokens, output tokens, seconds to the first token) -> joules and whose estimate."""


class Names(NamedTuple):
    """What a request is called on its way. `id_given`: the client named it; else `id` is ours."""

    id: str
    id_given: bool
    trace: Trace


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that is over, as far as an estimate needs it."""

    seconds: float
    bill: Bill
    first_token_seconds: float | None


@dataclass(frozen=True, slots=True)
class Accountant:
    """Keeps account of one server's calls: tells the inbox of them, and `fault` of bugs."""

    server: str
    options: ProxyOptions
    tenant: TenantSettings
    inbox: Inbox
    now: Now
    fault: Fault
    _ids: UniqueIds = field(default_factory=UniqueIds)
    _trust: Trust = field(default_factory=Trust)

    def names(self, headers: MultiMapping[str]) -> Names:
        """What this request is called, by its client or by us."""
        given = valid_id(headers.get(self.options.request_id_header))
        return Names(given or new_id(), given is not None, trace_of(headers))

    def call(self, method: str, path: str, headers: MultiMapping[str], names: Names) -> "Call | None":
        """The account of a call; None for one that is not metered, or of which no account can be kept."""
        try:
            if not self.options.wanted(f"{method} {path}"):
                self.inbox.count("ignored", NOT_INFERENCE)
                return None
            return Call(self, path, self._ids.unique(names.id), tenant_of(headers, self.tenant), names.trace.trace_id)
        except Exception as bug:  # noqa: BLE001 - a supervisor: traffic must not depend on our books
            self.failed(bug)
            return None

    def tell(self, event: Started | FirstToken | Ended, aliases: tuple[str, ...] = ()) -> None:
        """News of a request, heard as it happens."""
        self.inbox.put(event, event.at, aliases)
        self.inbox.count("used")

    def ignore(self, reason: str, number: int = 1) -> None:
        """Something was passed on unread."""
        if number:
            self.inbox.count("ignored", reason, number)

    def output_tokens(self, reading: Reading, *, whole: bool) -> int | None:
        """Tokens of an answer: as it says, else counted where pieces may stand for tokens."""
        told, pieces = reading.bill.output_tokens, reading.pieces
        if told is not None:
            if whole:
                self._trust.learn(pieces, told)
            if whole or told >= pieces:
                return told
        counting = self.options.count_chunks
        counts = counting == "always" or (counting == "auto" and self._trust.earned)
        return pieces if pieces and counts else None

    def failed(self, bug: Exception) -> None:
        """A bug of ours was met while keeping account."""
        log.error("keeping account of a request failed; it was served all the same", exc_info=bug)
        try:
            self.fault(STAGE)
            self.inbox.count("dropped", FAILED)
        except Exception:
            log.exception("and that could not be counted")


class Call:
    """The account of one request. Its methods never raise; after one has failed, the others do nothing."""

    def __init__(self, accountant: Accountant, path: str, id_: str, tenant: str | None, trace_id: str) -> None:
        self._accountant = accountant
        self._path = path
        self._id = id_
        self._tenant = tenant
        self._trace_id = trace_id
        self._reading: Reading = Unread()
        self._started: Instant | None = None
        self._first: Instant | None = None
        self._status = 200
        self._told = False
        self._broken = False
        self._ended = False

    def started(self, beginning: bytes) -> None:
        """It is handed to the server now; its body begins like this."""
        self._guard(self._start, beginning)

    def answered(self, status: int, headers: MultiMapping[str]) -> None:
        """The server's headers came."""
        self._guard(self._answer, status, headers)

    def passed(self, piece: bytes, at: Instant) -> None:
        """A piece of the answer came at `at`."""
        self._guard(self._read, piece, at)

    def never_served(self) -> None:
        """The server was not reached: it has done nothing for this request."""
        if self._started is not None:
            self.ended("error", at=self._started)

    def ended(self, outcome: Outcome = "ok", at: Instant | None = None) -> Seen | None:
        """It is over: whole, or broken off by the server or the client. Only the first call of this counts."""
        if self._ended or self._started is None:
            return None
        self._ended = True
        seen: list[Seen] = []
        at = at or self._accountant.now()
        self._guard(lambda: seen.append(self._end(outcome, at)))
        if self._broken and self._told:
            self._give_up(outcome, at)
        return seen[0] if seen else None

    def _start(self, beginning: bytes) -> None:
        self._started = self._accountant.now()
        model = model_asked(self._path, beginning)
        self._accountant.tell(Started(self._id, self._started, 0.0, model, None, self._tenant, self._trace_id))
        self._told = True

    def _answer(self, status: int, headers: MultiMapping[str]) -> None:
        self._status = status
        encoding = headers.get("Content-Encoding", "")
        self._reading = reading_for(headers.get("Content-Type", ""), encoding)
        self._reading.bill.add(_number(headers, "x-prompt-tokens"), None, _number(headers, "x-generated-tokens"))
        if encoding and isinstance(self._reading, Unread):
            self._accountant.ignore(COMPRESSED)

    def _read(self, piece: bytes, at: Instant) -> None:
        self._reading.feed(piece, at)
        if self._first is None and self._reading.first is not None and self._status < 400:
            self._first = self._reading.first
            self._accountant.tell(FirstToken(self._id, self._first), self._aliases())

    def _end(self, outcome: Outcome, at: Instant) -> Seen:
        self._reading.end(at)
        self._accountant.ignore(TOO_LONG, self._reading.dropped)
        bill = self._reading.bill
        outcome = self._outcome(outcome, bill)
        output = self._accountant.output_tokens(self._reading, whole=outcome == "ok")
        bill.output_tokens = output
        self._accountant.tell(
            Ended(
                self._id,
                at,
                outcome=outcome,
                closing="abort" if outcome == "aborted" else "finish",
                model=bill.model,
                prompt_tokens=bill.prompt_tokens,
                cached_tokens=bill.cached_tokens,
                output_tokens=output,
            ),
            self._aliases(),
        )
        begun = self._started if self._started is not None else at
        return Seen(at - begun, bill, None if self._first is None else self._first - begun)

    def _outcome(self, outcome: Outcome, bill: Bill) -> Outcome:
        if outcome != "ok":
            return outcome
        if self._status == _CLIENT_LEFT:
            return "aborted"
        return "error" if self._status >= 400 or bill.failed else "ok"

    def _aliases(self) -> tuple[str, ...]:
        id_ = self._reading.bill.id
        return (id_,) if id_ else ()

    def _give_up(self, outcome: Outcome, at: Instant) -> None:
        """It must not seem to run for ever."""
        try:
            self._accountant.tell(Ended(self._id, at, outcome=outcome))
        except Exception as bug:  # noqa: BLE001 - as in `call`
            self._accountant.failed(bug)

    def _guard(self, step: Callable[..., None], *arguments: object) -> None:
        if self._broken:
            return
        try:
            step(*arguments)
        except Exception as bug:  # noqa: BLE001 - as in `Accountant.call`
            self._broken = True
            self._accountant.failed(bug)


def passed_names(names: Names, options: ProxyOptions, headers: CIMultiDict[str]) -> None:
    """Write a request's names into the headers that go to the server."""
    if not names.id_given:
        headers.popall(options.request_id_header, None)
        if options.request_id == "make":
            headers[options.request_id_header] = names.id
    if names.trace.made:
        headers.popall("tracestate", None)
        headers["traceparent"] = names.trace.header


def _number(headers: MultiMapping[str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None
