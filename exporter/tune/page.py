"""What a running exporter's `/metrics` says of its books, and the difference of two such pages. Pure.

Joules of requests and their output tokens are booked together, when a request settles; so their ratio over an interval
is that of the requests that settled in it, whenever they ran. Counters that went back, and a process that started
anew, make an interval worthless: it is refused.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite, sqrt

from prometheus_client.parser import text_string_to_metric_families

from exporter.domain.errors import TuneError
from exporter.tune.objective import Objective

_FAMILIES = (
    "llm_request_energy_joules",
    "llm_request_energy_per_output_token_joules_count",
    "llm_request_duration_seconds",
    "llm_request_time_to_first_token_seconds",
    "llm_requests_total",
    "llm_tokens_total",
    "llm_device_energy_joules_total",
    "llm_device_info",
    "llm_server_device_info",
    "llm_energy_joules_total",
    "llm_energy_exporter_settle_lag_seconds",
    "llm_energy_exporter_process_start_time_seconds",
    "llm_energy_exporter_snapshot_timestamp_seconds",
)
_LEAST_PARTS = 4


class RestartedError(TuneError):
    """Between two pages the exporter started anew, or its counters went back."""


@dataclass(slots=True)
class Histogram:
    """Cumulative counts by upper bound, the last infinite, and the sum."""

    counts: dict[float, float] = field(default_factory=dict)
    sum: float = 0.0

    @property
    def count(self) -> float:
        """Of all observations."""
        return max(self.counts.values(), default=0.0)

    @property
    def mean(self) -> float | None:
        """Of all observations; None without any."""
        return self.sum / self.count if self.count else None

    def minus(self, before: "Histogram") -> "Histogram":
        """What came since."""
        counts = {bound: count - before.counts.get(bound, 0.0) for bound, count in self.counts.items()}
        return Histogram(counts, self.sum - before.sum)

    def quantile(self, share: float) -> float | None:
        """As Prometheus has it: evenly within a bucket; beyond the last bound twice that. None if there are none."""
        rank, low, below = share * self.count, 0.0, 0.0
        if not self.count:
            return None
        for bound, count in sorted(self.counts.items()):
            if count >= rank:
                within = (rank - below) / (count - below) if count > below else 1.0
                return low + (bound - low) * within if isfinite(bound) else 2.0 * low
            low, below = bound, count
        return None


@dataclass(slots=True)
class ServerBooks:
    """Of one server, all models together. `joules`: of settled requests by method. `told`: those with output tokens."""

    requests: float = 0.0
    output_tokens: float = 0.0
    told: float = 0.0
    joules: dict[str, float] = field(default_factory=dict)
    duration: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)
    settle_lag_seconds: float = 0.0
    uuids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class DeviceBooks:
    """Of one device. `joules`: metered. `shares`: as booked. `method`: how its energy comes to be known."""

    name: str = ""
    method: str = ""
    kind: str = ""
    joules: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """One page. `at`: when its books were made. `started`: the process. Devices by UUID."""

    at: float = 0.0
    started: float = 0.0
    servers: dict[str, ServerBooks] = field(default_factory=dict)
    devices: dict[str, DeviceBooks] = field(default_factory=dict)

    def server(self, name: str) -> ServerBooks:
        """The one of this name, new if need be."""
        return self.servers.setdefault(name, ServerBooks())

    def device(self, uuid: str) -> DeviceBooks:
        """Likewise."""
        return self.devices.setdefault(uuid, DeviceBooks())


def parse(text: str) -> Page:
    """Read a page.

    Raises:
        ValueError: a line that matters is no sample.
    """
    page = Page()
    for family in text_string_to_metric_families("".join(_lines(text))):
        for sample in family.samples:
            _take(page, sample.name, sample.labels, sample.value)
    return page


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith(_FAMILIES):
            yield f"{line}\n"


def _take(page: Page, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == "llm_energy_exporter_process_start_time_seconds":
        page.started = value
    elif name == "llm_energy_exporter_snapshot_timestamp_seconds":
        page.at = value
    elif labels.get("uuid") == "":
        return  # nothing that could be set
    elif name == "llm_server_device_info":
        page.server(labels["server"]).uuids.add(labels["uuid"])
    elif "server" in labels:
        _take_of_server(page.server(labels["server"]), name, labels, value)
    elif "uuid" in labels:
        _take_of_device(page.device(labels["uuid"]), name, labels, value)


def _take_of_server(server: ServerBooks, name: str, labels: Mapping[str, str], value: float) -> None:
    match name:
        case "llm_requests_total":
            server.requests += value
        case "llm_tokens_total" if labels["direction"] == "output":
            server.output_tokens += value
        case "llm_request_energy_per_output_token_joules_count":
            server.told += value
        case "llm_request_energy_joules_sum":
            server.joules[labels["method"]] = server.joules.get(labels["method"], 0.0) + value
        case "llm_energy_exporter_settle_lag_seconds":
            server.settle_lag_seconds = value
        case "llm_request_duration_seconds_bucket" | "llm_request_duration_seconds_sum":
            _take_into(server.duration, labels, value)
        case "llm_request_time_to_first_token_seconds_bucket" | "llm_request_time_to_first_token_seconds_sum":
            _take_into(server.first_token, labels, value)


def _take_into(histogram: Histogram, labels: Mapping[str, str], value: float) -> None:
    if "le" in labels:
        bound = float(labels["le"])
        histogram.counts[bound] = histogram.counts.get(bound, 0.0) + value
    else:
        histogram.sum += value


def _take_of_device(device: DeviceBooks, name: str, labels: Mapping[str, str], value: float) -> None:
    match name:
        case "llm_device_info":
            device.name, device.kind, device.method = labels["device"], labels["kind"], labels["method"]
        case "llm_device_energy_joules_total":
            device.joules = value
        case "llm_energy_joules_total":
            device.shares[labels["share"]] = value


# ---- from one page to the next ----


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose books are read: requests of these servers, and the energy of these devices (UUIDs)."""

    servers: frozenset[str]
    uuids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened between two pages.

    Attributes:
        at: its middle. seconds: its length, by the exporter's clock.
        joules: of the requests that settled. output_tokens, requests: theirs. told: requests with output tokens.
        methods: how their energy came to be known.
        device_joules: metered. unattributed_joules: of these, caused by requests that nobody told of.
    """

    at: float
    seconds: float
    joules: float
    output_tokens: float
    requests: float
    told: float
    methods: frozenset[str]
    duration: Histogram
    first_token: Histogram
    device_joules: float
    unattributed_joules: float

    def latency(self, objective: Objective) -> float | None:
        """What the objective is about; None without requests."""
        if objective.measure == "pace":
            return self.duration.sum / self.output_tokens if self.output_tokens else None
        assert objective.quantile is not None, "an objective of durations has a quantile"
        histogram = self.first_token if objective.measure == "ttft" else self.duration
        return histogram.quantile(objective.quantile)


def between(before: Page, after: Page, subject: Subject) -> Interval:
    """The difference of two pages.

    Raises:
        RestartedError: they are not of one life of the exporter, or a counter went back.
    """
    if after.started != before.started:
        raise RestartedError("the exporter was restarted")
    first, last = (_sum(page, subject) for page in (before, after))
    devices = [(before.device(uuid), after.device(uuid)) for uuid in subject.uuids]
    interval = Interval(
        at=0.5 * (before.at + after.at),
        seconds=after.at - before.at,
        joules=sum(last.joules.values()) - sum(first.joules.values()),
        output_tokens=last.output_tokens - first.output_tokens,
        requests=last.requests - first.requests,
        told=last.told - first.told,
        methods=frozenset(name for name, joules in last.joules.items() if joules != first.joules.get(name, 0.0)),
        duration=last.duration.minus(first.duration),
        first_token=last.first_token.minus(first.first_token),
        device_joules=sum(after_.joules - before_.joules for before_, after_ in devices),
        unattributed_joules=sum(_unattributed(after_) - _unattributed(before_) for before_, after_ in devices),
    )
    counters = (interval.output_tokens, interval.requests, interval.device_joules, *interval.duration.counts.values())
    if interval.seconds < 0.0 or min(counters) < 0.0:
        raise RestartedError("the exporter's counters went back")
    return interval


def _unattributed(device: DeviceBooks) -> float:
    return device.shares.get("unattributed", 0.0)


def _sum(page: Page, subject: Subject) -> ServerBooks:
    total = ServerBooks()
    for one in (page.servers[name] for name in subject.servers if name in page.servers):
        total.requests += one.requests
        total.output_tokens += one.output_tokens
        total.told += one.told
        for method, joules in one.joules.items():
            total.joules[method] = total.joules.get(method, 0.0) + joules
        total.duration = _both(total.duration, one.duration)
        total.first_token = _both(total.first_token, one.first_token)
        total.settle_lag_seconds = max(total.settle_lag_seconds, one.settle_lag_seconds)
    return total


def _both(one: Histogram, other: Histogram) -> Histogram:
    bounds = one.counts.keys() | other.counts.keys()
    counts = {bound: one.counts.get(bound, 0.0) + other.counts.get(bound, 0.0) for bound in bounds}
    return Histogram(counts, one.sum + other.sum)


def settle_lag(page: Page, subject: Subject) -> float:
    """How long after its end a request's energy is booked now, in seconds."""
    return _sum(page, subject).settle_lag_seconds


def lives(page: Page, subject: Subject) -> Histogram:
    """How long requests last, of all that have settled."""
    return _sum(page, subject).duration


def relative_error(parts: Sequence[Interval]) -> float | None:
    """Relative standard error of the joules per token of an interval, by how far its parts disagree.

    That of a ratio of sums (Cochran, Sampling Techniques, section 6.4). None with too few parts to tell.
    """
    told = [one for one in parts if one.output_tokens > 0]
    joules, tokens = sum(one.joules for one in told), sum(one.output_tokens for one in told)
    if len(told) < _LEAST_PARTS or joules <= 0.0:
        return None
    ratio = joules / tokens
    squares = sum((one.joules - ratio * one.output_tokens) ** 2 for one in told)
    return sqrt(squares * len(told) / (len(told) - 1)) / joules


def parts_between(pages: Iterable[Page], subject: Subject) -> list[Interval]:
    """The intervals from page to page.

    Raises:
        RestartedError: as for `between`.
    """
    return [between(before, after, subject) for before, after in pairwise(pages)]
