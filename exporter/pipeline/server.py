"""All that the pipeline keeps of one inference server: its requests, its policy, its counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import Any

import numpy as np

from exporter.attribution.policies import POLICIES
from exporter.attribution.policy import AttributionPolicy, coefficients
from exporter.domain.events import Completed
from exporter.domain.readings import Device, worst_method
from exporter.domain.settings import NO_ENGINES, PolicyName, ProxyName, ServerSettings, Settings
from exporter.domain.snapshot import ServerView, SettledRequest
from exporter.domain.units import Joules
from exporter.ledger.claims import Floats
from exporter.ledger.ledger import Ledger
from exporter.pipeline.foretelling import Ended, Foretold, foretell
from exporter.pipeline.gauges import Gauges
from exporter.pipeline.learning import Windows
from exporter.pipeline.observing import Observer
from exporter.pipeline.proxying import Proxying
from exporter.pipeline.requests import Requests
from exporter.pipeline.settling import Batch
from exporter.pipeline.student import Settled
from exporter.pipeline.tally import Tally
from exporter.pipeline.tenants import Tenants
from exporter.proxy.calibration.calibration import Calibration, Machine, key_of
from exporter.proxy.calibration.calibrator import Terms
from exporter.proxy.calibration.estimator import Estimates, Estimator
from exporter.proxy.proxy import Features

_MOST_MODELS = 100
_UNKNOWN_MODEL = "unknown"
_OTHER_MODEL = "other"
_LEARNED = ("policy", "learned_until", "proxies")
"""Of a snapshot: what holds only on the hardware on which it was learned."""
_MOST_HARDWARE = 3


def serves(server: ServerSettings, device: Device) -> bool:
    """Whether this device works for this server: its GPUs by choice, the host's parts always."""
    if device.kind != "gpu" or server.gpus == "all":
        return True
    return any(answers_to(device, selector) for selector in server.gpus)


def engine_of(server: ServerSettings) -> str:
    """What serves: in its operator's words, else the first of its request sources that serves; empty: not known."""
    told = (requests.source for requests in server.requests if requests.source not in NO_ENGINES)
    return server.about.get("engine") or next(told, "")


def answers_to(device: Device, selector: str) -> bool:
    """Whether this is the device that is meant by its name, its number or its identity."""
    return selector in {device.name, device.name.removeprefix("gpu"), device.uuid} or (
        len(selector) >= 8 and device.uuid.startswith(selector)
    )


class Server:
    """One inference server, from news to counts."""

    def __init__(
        self,
        settings: ServerSettings,
        whole: Settings,
        ledger: Ledger,
        observer: Observer,
        calibration: Calibration | None = None,
    ) -> None:
        devices = [meter.device for meter in ledger.meters.values() if serves(settings, meter.device)]
        self.devices = tuple(devices)
        self.settings = settings
        self.requests = Requests(horizon_seconds=whole.attribution.horizon_seconds, since=ledger.since)
        self.policy: AttributionPolicy = POLICIES[whole.attribution.policy]()
        self.gauges = Gauges(self.requests, ledger.company[settings.name])
        self.windows = Windows(ledger, settings.name, self.token_rates)
        self.proxying = Proxying(settings.name, ledger, observer, whole)
        self.tallies: dict[str, Tally] = {}
        self.tenants = Tenants(whole.labels.tenant.max)
        self.heard_until: float = ledger.since
        self.late_joules = 0.0
        self.overflows = 0
        self.in_force: PolicyName = "time"
        self._whole = whole
        self._method = worst_method(devices)
        self._estimator = Estimator(calibration) if calibration is not None and not devices else None
        self._model = settings.model or _UNKNOWN_MODEL
        self._learned_elsewhere: dict[str, Any] = {}

    # --- time ------------------------------------------------------------------------------------------------------

    def settle_seconds(self) -> float:
        """How long after its end a request settles now: follows how late news has been."""
        rules = self._whole.attribution
        return min(max(rules.settle_seconds, self.requests.usual.delay()), rules.horizon_seconds / 2.0)

    def token_rates(self, first: int, stop: int) -> Floats | None:
        """Tokens a second of each decoding request by the server's own counters, where its log does not tell them.

        By slice, from number `first` to before `stop`; NaN where they are not known either.
        """
        counts = self.gauges.counts_tokens
        return self.gauges.token_rates(first, stop, self._whole.attribution.slice_seconds) if counts else None

    def doubt(self) -> str:
        """Why the policy cannot be used yet; empty when it can.

        To share by tokens one must know whose they were: the server's own counters know only how many.
        """
        if self._whole.attribution.policy == "tokens" and self.gauges.counts_tokens:
            return "the request log has no token counts, and the server's counters do not say whose they are"
        return self.policy.doubt()

    def learn(self, watermark: float) -> None:
        """Let the policy learn from what is known for good."""
        complete = self.requests.complete_until(watermark)
        if self.gauges.counts_tokens:
            complete = min(complete, self.gauges.counted_until())
        for window in self.windows.until(complete):
            self.policy.learn(window)
        self.proxying.learn(self.requests.settled_until(watermark))

    # --- counts ----------------------------------------------------------------------------------------------------

    def count(self, batch: Batch) -> list[SettledRequest]:
        """Count what has settled; returns it as the world may see it, ghosts left out."""
        self.gauges.settled(batch.finished)
        by_model: dict[str, list[int]] = {}
        for index, finished in enumerate(batch.finished):
            if not finished.ghost:
                by_model.setdefault(self._name_model(finished.news.model), []).append(index)
                self._tally(self._model)  # at once: the bound on models counts those that have one
        self.late_joules += float(batch.late.sum())
        return [settled for model, rows in by_model.items() for settled in self._count_model(model, batch.rows(rows))]

    def _count_model(self, model: str, batch: Batch) -> list[SettledRequest]:
        assert batch.seen is not None, "whoever settles has been observed"
        total = batch.total if self.devices else np.full(len(batch.finished), np.nan)
        foretold = self.proxying.settle(model, batch.finished, Settled(batch.seen, total, batch.metered, self.in_force))
        settled = list(self._settle(model, batch, batch.seen, foretold))
        if self._estimator is not None:
            settled = estimated(settled, self._estimator.estimate(batch.seen))
        self._tally(model).add(settled)
        self.tenants.add(settled)
        for one, prefill in zip(settled, batch.prefill.tolist(), strict=True):
            self._count_phases(one, prefill)
        return settled

    def _settle(
        self, model: str, batch: Batch, seen: Features, foretold: Mapping[ProxyName, Floats]
    ) -> Iterator[SettledRequest]:
        concurrency = seen.concurrency.tolist()
        metered, late = batch.metered.tolist(), batch.late.tolist()
        devices = [(name, joules.tolist()) for name, joules in batch.joules.items()]
        predictions = [(name, joules.tolist()) for name, joules in foretold.items()]
        for index, finished in enumerate(batch.finished):
            news = finished.news
            joules = {name: Joules(each[index]) for name, each in devices}
            yield SettledRequest(
                server=self.settings.name,
                model=model,
                id=news.id,
                start=news.start,
                end=news.end,
                outcome=news.outcome,
                method=self._method,
                joules=Joules(sum(joules.values()) if joules else nan),
                joules_by_device=joules,
                late_joules=Joules(late[index]),
                prompt_tokens=news.prompt_tokens,
                output_tokens=news.output_tokens,
                time_to_first_token_seconds=_first_token_seconds(news),
                queued_seconds=news.queued_seconds,
                concurrency=concurrency[index],
                metered_joules=_known(metered[index]),
                predicted={name: Joules(each[index]) for name, each in predictions if each[index] == each[index]},
                tenant=news.tenant,
                trace_id=news.trace_id,
            )

    def _count_phases(self, settled: SettledRequest, prefill: float) -> None:
        """Where the first token is not known or nothing is metered, nobody can tell the phases: neither is counted."""
        if settled.time_to_first_token_seconds is not None and self.devices:
            phases = self._tally(settled.model).phases
            phases["prefill"] += prefill
            phases["decode"] += settled.joules - prefill

    def _name_model(self, told: str | None) -> str:
        """The model a request is counted under: the configured one, the one told, or else the latest told."""
        if self.settings.model is None and told is not None and told != self._model:
            known = told in self.tallies or len(self.tallies) < _MOST_MODELS
            self.overflows += not known
            self._model = told if known else _OTHER_MODEL
        return self._model

    def _tally(self, model: str) -> Tally:
        if model not in self.tallies:
            self.tallies[model] = Tally(self.settings.name, model, self._whole.buckets)
        return self.tallies[model]

    # --- calibrations ----------------------------------------------------------------------------------------------

    def calibrations(self, date: str, machine: Machine) -> Iterator[Calibration]:
        """What was learned of each model, to be used where nothing is metered."""

        def terms(model: str) -> Terms:
            return Terms(
                key_of(model, self.settings.about, self.devices),
                date,
                machine,
                self._method,
                self._whole.attribution.policy,
            )

        return self.proxying.calibrations(terms)

    def foretell(self, ended: Ended) -> Foretold | None:
        """What a request that has just ended may have used. Changes nothing."""
        return foretell(ended, len(self.requests.running), self.proxying.students, self._estimator)

    # --- views -----------------------------------------------------------------------------------------------------

    def view(self) -> ServerView:
        """The server as it stands."""
        requests, wanted = self.requests, self._whole.attribution.policy
        return ServerView(
            server=self.settings.name,
            running=len(requests.running),
            running_by_server=self.gauges.running(self.heard_until),
            late_joules=Joules(self.late_joules),
            closings=dict(requests.closings),
            duplicates=requests.duplicates,
            orphans=requests.orphans,
            settle_seconds=self.settle_seconds(),
            uncertainty_seconds={
                "start": requests.usual.uncertainty["start"],
                "end": requests.usual.uncertainty["end"],
            },
            policy=self.in_force,
            wanted_policy=wanted,
            policy_reason="" if self.in_force == wanted else self.doubt() or "another server on its devices doubts",
            tenants=self.tenants.view(),
            coefficients=coefficients(self.policy),
            engine=engine_of(self.settings),
            devices=tuple(device.name for device in self.devices),
        )

    def samples(self) -> dict[str, Any]:
        """What is saved now and then because it is large, as JSON values."""
        return self.proxying.samples()

    def snapshot(self) -> dict[str, Any]:
        """What must survive a restart, as JSON values."""
        policy: Any = self.policy
        return {
            "requests": self.requests.snapshot(),
            "tallies": [tally.snapshot() for tally in self.tallies.values()],
            "policy": policy.snapshot() if hasattr(policy, "snapshot") else None,
            "late_joules": self.late_joules,
            "overflows": self.overflows,
            "model": self._model,
            "learned_on": self._hardware(),
            "learned_elsewhere": self._learned_elsewhere,
            "learned_until": self.windows.learned_until,
            "heard_until": self.heard_until,
            "proxies": self.proxying.books(),
            "gauges": self.gauges.snapshot(),
            "tenants": self.tenants.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any], samples: Mapping[str, Any]) -> None:
        """Go on from a snapshot of a server of the same name, and from samples saved some time before it.

        What was learned is taken over only on the same kind of hardware, metered in the same way: joules of an
        estimate, or of other boards, teach nothing about these. It is kept, should that hardware come back.
        """
        self.requests.restore(snapshot["requests"])
        for saved in snapshot["tallies"]:
            self._tally(saved["model"]).restore(saved)
        here, there = self._hardware(), snapshot.get("learned_on", self._hardware())
        learned = {**snapshot.get("learned_elsewhere", {}), there: {name: snapshot.get(name) for name in _LEARNED}}
        if here in learned:
            self._restore_learned(learned.pop(here), samples if here == there else {})
        self._learned_elsewhere = dict(list(learned.items())[-_MOST_HARDWARE:])
        self.late_joules = snapshot["late_joules"]
        self.overflows = snapshot["overflows"]
        self._model = self.settings.model or snapshot["model"]
        self.heard_until = snapshot["heard_until"]
        if "tenants" in snapshot:
            self.tenants.restore(snapshot["tenants"])
        if "gauges" in snapshot:
            self.gauges.restore(snapshot["gauges"])

    def _restore_learned(self, learned: Mapping[str, Any], samples: Mapping[str, Any]) -> None:
        policy: Any = self.policy
        if learned["policy"] is not None and hasattr(policy, "restore"):
            policy.restore(learned["policy"])
        self.windows.learned_until = learned["learned_until"]
        if learned["proxies"] is not None:
            self.proxying.restore(learned["proxies"], samples)

    def _hardware(self) -> str:
        """What serves, whichever pieces of it."""
        return ", ".join(sorted(f"{device.kind} {device.model} {device.method}" for device in self.devices))


def estimated(settled: Sequence[SettledRequest], estimates: Estimates) -> list[SettledRequest]:
    """The same requests with estimates for joules; where nothing can be estimated they stay as they are."""
    low, high = estimates.low.tolist(), estimates.high.tolist()
    return [
        replace(one, method="time_proxy", joules=Joules(joules), interval=(Joules(low[index]), Joules(high[index])))
        if isfinite(joules)
        else one
        for index, (one, joules) in enumerate(zip(settled, estimates.joules.tolist(), strict=True))
    ]


def _first_token_seconds(news: Completed) -> float | None:
    first = news.first_token
    return first - news.start + news.queued_seconds if first is not None else None


def _known(joules: float) -> Joules | None:
    return Joules(joules) if joules == joules else None  # noqa: PLR0124 - NaN is what does not equal itself
