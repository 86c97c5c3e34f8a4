"""What a snapshot says, sample by sample: which value belongs to which family under which label values.

None means unknown and is published as nothing, never as 0; 0.0 W is a reading. Counters of which the label values are
known beforehand begin at 0, so that the first increment is seen by `increase()`. Of the proxies' many series, the long
ones (histograms) wait for their first sample: what they would say until then, the sample counter beside them says.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar, get_args

from exporter.domain.durations import written_duration
from exporter.domain.events import Closing, Outcome
from exporter.domain.health import GaugeFailure, Health, LogView, Published, Refused, SourceView
from exporter.domain.readings import Device
from exporter.domain.snapshot import (
    BudgetView,
    CarbonView,
    DeviceView,
    Direction,
    HistogramValue,
    ModelView,
    Phase,
    ProxyView,
    ScoreName,
    ScoreView,
    ServerView,
    Share,
    Snapshot,
)
from exporter.metrics import dissected
from exporter.metrics.catalogue import attribution, budgets, energy, itself, proxies, requests
from exporter.metrics.catalogue.family import Family

_OUTCOMES = get_args(Outcome)
_CLOSINGS = get_args(Closing)
_SHARES = get_args(Share)
_PHASES = get_args(Phase)
_DIRECTIONS = get_args(Direction)
_GAUGE_FAILURES = get_args(GaugeFailure)
_SCORES = get_args(ScoreName)
_REFUSALS = get_args(Refused)
_BOUNDED_LABELS = ("model", "proxy", "tenant")

_Key = TypeVar("_Key", bound=str)


class Sample(NamedTuple):
    """One value of a family. A histogram is one value; of an info only the labels speak."""

    family: Family
    labels: tuple[str, ...]
    value: float | HistogramValue


def samples(published: Published) -> Iterator[Sample]:
    """Everything that is known, grouped by nothing: the exposition brings it into the catalogue's order."""
    for family, labels, value in _all(published):
        if value is not None:
            yield Sample(family, labels, value)


_Sample = tuple[Family, tuple[str, ...], float | HistogramValue | None]


def _all(published: Published) -> Iterator[_Sample]:
    snapshot, health = published.snapshot, published.health
    for model in snapshot.models:
        yield from _model(model)
    for proxy in snapshot.proxies:
        yield from _proxy(proxy)
    for device in snapshot.devices:
        yield from _power(device)
        yield from _books(device)
        yield from _sampling(device)
    devices = {view.device.name: view.device for view in snapshot.devices}
    for server in snapshot.servers:
        yield from _server(server)
        yield from _served(server, devices)
        yield from _attribution(server)
    for budget in snapshot.budgets:
        yield from _budget(budget)
    yield from _carbon(snapshot.carbon)
    yield from _process(health)
    yield from _self(snapshot, health)


def _process(health: Health) -> Iterator[_Sample]:
    for source in health.sources:
        yield from _source(source)
    for wanted, reason in sorted(health.passed_over.items()):
        yield energy.POWER_SOURCE_FALLBACK, (wanted, reason), 1
    for log in health.logs:
        yield from _log(log)
    for gauge in health.gauges:
        yield itself.GAUGE_READINGS, (gauge.server,), gauge.readings
        yield from _each(itself.GAUGE_FAILURES, (gauge.server,), gauge.failures, _GAUGE_FAILURES)
    if health.dissections is not None:
        yield from dissected.samples(health.dissections)


def _model(view: ModelView) -> Iterator[_Sample]:
    labels = (view.server, view.model)
    for method, joules in view.energy.items():
        yield requests.REQUEST_ENERGY, (*labels, method), joules
    for method, joules in view.energy_per_output_token.items():
        yield requests.REQUEST_ENERGY_PER_OUTPUT_TOKEN, (*labels, method), joules
    yield requests.REQUEST_DURATION, labels, view.duration
    yield requests.REQUEST_TIME_TO_FIRST_TOKEN, labels, view.time_to_first_token
    yield from _each(requests.REQUESTS, labels, view.requests, _OUTCOMES)
    yield from _each(requests.TOKENS, labels, view.tokens, _DIRECTIONS)
    yield from _each(requests.PHASE_ENERGY, labels, view.phase_joules, _PHASES)


def _proxy(view: ProxyView) -> Iterator[_Sample]:
    labels = (view.server, view.model, view.proxy)
    yield proxies.PROXY_ENERGY, labels, view.predicted_joules
    yield proxies.PROXY_UNPREDICTED, labels, view.unpredicted
    for term, learned in sorted(view.coefficients.items()):
        yield proxies.PROXY_COEFFICIENT, (*labels, term), _finite(learned.value)
        yield proxies.PROXY_COEFFICIENT_ERROR, (*labels, term), _finite(learned.error)
    for ground, score in sorted(view.scores.items()):
        yield from _ground((*labels, ground), score)


def _ground(labels: tuple[str, ...], view: ScoreView) -> Iterator[_Sample]:
    yield proxies.PROXY_SAMPLES, labels, view.samples
    for name in _SCORES:
        yield proxies.PROXY_SCORE, (*labels, name), _finite(view.recent.get(name))
        yield proxies.PROXY_LIFETIME_SCORE, (*labels, name), _finite(view.lifetime.get(name))
    yield proxies.PROXY_ERROR, labels, view.error_ratio if view.samples else None
    yield proxies.PROXY_DRIFT, labels, _finite(view.drift)
    yield proxies.PROXY_DRIFTING, labels, None if view.drift is None else float(view.drifting)


def _power(view: DeviceView) -> Iterator[_Sample]:
    labels = (view.device.name, view.device.kind, view.device.uuid)
    named = (*labels, view.device.model)
    yield energy.DEVICE, (*named, view.device.method), 1
    yield energy.DEVICE_POWER, named, view.power_watts
    yield energy.DEVICE_IDLE_POWER, named, view.idle_watts
    yield energy.DEVICE_ENERGY, named, view.metered_joules
    yield energy.POWER_SENSOR_PERIOD, labels, view.sensor_period_seconds
    yield energy.POWER_COUNTER_RATIO, labels, view.counter_ratio


def _books(view: DeviceView) -> Iterator[_Sample]:
    labels = (view.device.name, view.device.kind, view.device.uuid)
    yield from _each(energy.ENERGY, labels, view.booked, _SHARES)
    yield energy.ENERGY_UNSETTLED, labels, view.unsettled_joules


def _sampling(view: DeviceView) -> Iterator[_Sample]:
    labels = (view.device.name,)
    yield itself.SAMPLES, labels, view.readings
    yield from _each(itself.SAMPLE_ERRORS, labels, view.failures)
    yield itself.INTERPOLATED_ENERGY, labels, view.interpolated_joules
    yield itself.GAP_TIME, labels, view.gap_seconds
    yield itself.METER_RESETS, labels, view.counter_resets
    yield itself.METER_IN_USE, labels, float(view.counter_in_use)


def _server(view: ServerView) -> Iterator[_Sample]:
    labels = (view.server,)
    yield requests.RUNNING_REQUESTS, (view.server, "log"), view.running
    yield requests.RUNNING_REQUESTS, (view.server, "server"), view.running_by_server
    yield energy.ENERGY_LATE, labels, view.late_joules
    for tenant, joules in view.tenants.items():
        yield requests.TENANT_ENERGY, (view.server, tenant), joules
    yield itself.SETTLE_LAG, labels, view.settle_seconds
    yield from _each(itself.CLOSINGS, labels, view.closings, _CLOSINGS)
    yield itself.DUPLICATES, labels, view.duplicates
    yield itself.ORPHANS, labels, view.orphans
    yield from _each(itself.EVENT_UNCERTAINTY, labels, view.uncertainty_seconds)


def _served(view: ServerView, devices: Mapping[str, Device]) -> Iterator[_Sample]:
    """What works for a server, and what serves on it."""
    yield requests.SERVER, (view.server, view.engine), 1
    for device in (devices[name] for name in view.devices if name in devices):
        yield energy.SERVER_DEVICE, (view.server, device.name, device.kind, device.uuid), 1


def _attribution(view: ServerView) -> Iterator[_Sample]:
    yield attribution.ATTRIBUTION_POLICY, (view.server, view.policy, view.wanted_policy), 1
    yield from _each(attribution.ATTRIBUTION_COEFFICIENT, (view.server,), view.coefficients)


def _budget(view: BudgetView) -> Iterator[_Sample]:
    budget = view.settings
    labels = (budget.name, "request" if budget.window_seconds is None else written_duration(budget.window_seconds))
    yield budgets.BUDGET_INFO, (*labels, budget.server or "", budget.model or "", budget.tenant or ""), 1
    yield budgets.BUDGET, labels, budget.joules
    yield budgets.BUDGET_CONSUMED, labels, view.consumed_joules
    if budget.window_seconds is not None:
        yield budgets.BUDGET_WINDOW, labels, budget.window_seconds
        return
    yield budgets.BUDGET_OBJECTIVE, labels, budget.objective
    yield budgets.BUDGET_REQUESTS, labels, view.requests
    yield budgets.BUDGET_OVER, labels, view.over


def _carbon(view: CarbonView) -> Iterator[_Sample]:
    if view.grams_per_joule is None:
        return
    yield budgets.CARBON_INTENSITY, (), view.grams_per_joule
    yield budgets.PUE, (), view.pue
    for server, grams in view.grams.items():
        yield budgets.CARBON, (server,), grams


def _source(view: SourceView) -> Iterator[_Sample]:
    labels = (view.name,)
    yield energy.POWER_SOURCE, (view.name, "true" if view.counter else "false", view.method), 1
    yield itself.SOURCE_UP, labels, float(view.up)
    yield itself.SAMPLE_INTERVAL, labels, view.interval_seconds
    yield itself.SAMPLE_CALL, labels, view.call_seconds


def _log(view: LogView) -> Iterator[_Sample]:
    labels = (view.server,)
    for (outcome, reason), count in sorted({("used", ""): 0, **view.lines}.items()):
        yield itself.LOG_LINES, (view.server, outcome, reason), count
    yield itself.LOG_FILES, labels, view.files
    yield itself.LOG_PROBLEMS, labels, len(view.problems)
    yield itself.LOG_READ, labels, view.bytes
    yield itself.LOG_ROTATIONS, labels, view.rotations
    yield itself.LOG_LAG, labels, view.lag_bytes


def _self(snapshot: Snapshot, health: Health) -> Iterator[_Sample]:
    yield itself.BUILD, (health.version,), 1
    yield itself.CPU_TIME, (), health.cpu_seconds
    yield itself.MEMORY, (), health.memory_bytes
    yield itself.START_TIME, (), health.start
    yield itself.BOOKS_START, (), snapshot.since
    yield itself.SNAPSHOT_TIME, (), snapshot.at
    yield from _each(itself.LABEL_OVERFLOWS, (), snapshot.label_overflows, _BOUNDED_LABELS)
    yield itself.CLOCK_STEPS, (), health.clock_steps
    yield itself.CHECKPOINT_FAILURES, (), health.checkpoint_failures
    yield itself.RECORDING_FAILURES, (), health.recording_failures
    if health.web is not None:
        yield itself.WEB_GOOD, (), float(health.web.good)
        yield itself.WEB_CERTIFICATE, (), health.web.certificate_ends
        yield from _each(itself.WEB_REFUSALS, (), health.web.refused, _REFUSALS)
    yield from _each(itself.FAULTS, (), health.faults)


def _each(
    family: Family, labels: tuple[str, ...], values: Mapping[_Key, float], known: Iterable[_Key] = ()
) -> Iterator[_Sample]:
    """One sample per entry, sorted; label values `known` beforehand begin at 0."""
    for key, value in sorted({**dict.fromkeys(known, 0), **values}.items()):
        yield family, (*labels, key), value


def _finite(value: float | None) -> float | None:
    """What is infinite or no number is not known."""
    return value if value is not None and math.isfinite(value) else None
