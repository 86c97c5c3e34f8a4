"""All that the pipeline keeps of one inference server: its requests, its policy, its counts."""

from collections.abc import Iterator, Sequence
from typing import Any

from exporter.attribution.policies import POLICIES
from exporter.attribution.policy import AttributionPolicy, coefficients
from exporter.domain.readings import Device, Method
from exporter.domain.settings import ServerSettings, Settings
from exporter.domain.snapshot import ServerView, SettledRequest
from exporter.domain.units import Instant, Joules
from exporter.ledger.ledger import Ledger
from exporter.pipeline.learning import Windows
from exporter.pipeline.requests import Finished, Requests
from exporter.pipeline.settling import Batch
from exporter.pipeline.tally import Tally

_MOST_MODELS = 100
_UNKNOWN_MODEL = "unknown"
_OTHER_MODEL = "other"


def serves(server: ServerSettings, device: Device) -> bool:
    """Whether this device works for this server: its GPUs by choice, the host's parts always."""
    if device.kind != "gpu" or server.gpus == "all":
        return True
    return any(_is(device, selector) for selector in server.gpus)


def _is(device: Device, selector: str) -> bool:
    return selector in {device.name, device.name.removeprefix("gpu"), device.uuid} or (
        len(selector) >= 8 and device.uuid.startswith(selector)
    )


class Server:
    """One inference server, from news to counts."""

    def __init__(self, settings: ServerSettings, whole: Settings, ledger: Ledger, since: Instant) -> None:
        devices = [meter.device for meter in ledger.meters.values() if serves(settings, meter.device)]
        self.settings = settings
        self.requests = Requests(horizon_seconds=whole.attribution.horizon_seconds, since=since)
        self.policy: AttributionPolicy = POLICIES[whole.attribution.policy]()
        self.windows = Windows(ledger, settings.name)
        self.tallies: dict[str, Tally] = {}
        self.heard_until: float = since
        self.late_joules = 0.0
        self.overflows = 0
        self.in_force: str = "time"
        self._whole = whole
        self._method: Method = "estimated" if any(one.method == "estimated" for one in devices) else "measured"
        self._model = settings.model or _UNKNOWN_MODEL

    # --- time ------------------------------------------------------------------------------------------------------

    def settle_seconds(self) -> float:
        """How long after its end a request settles now: follows how late news has been."""
        rules = self._whole.attribution
        return min(max(rules.settle_seconds, self.requests.usual.delay()), rules.horizon_seconds / 2.0)

    def learn(self, watermark: float) -> None:
        """Let the policy learn from what is known for good."""
        for window in self.windows.until(self.requests.complete_until(watermark)):
            self.policy.learn(window)

    # --- counts ----------------------------------------------------------------------------------------------------

    def count(self, batch: Batch) -> list[SettledRequest]:
        """Count what has settled; returns it as the world may see it, ghosts left out."""
        by_model: dict[str, list[SettledRequest]] = {}
        for settled, prefill in self._settled(batch):
            self._tally(settled.model)  # at once: the bound on models counts those that have one
            by_model.setdefault(settled.model, []).append(settled)
            self._count_phases(settled, prefill)
        for model, requests in by_model.items():
            self._tally(model).add(requests)
        self.late_joules += float(batch.late.sum())
        return [settled for requests in by_model.values() for settled in requests]

    def _settled(self, batch: Batch) -> Iterator[tuple[SettledRequest, float]]:
        names = tuple(batch.joules)
        shares: Sequence[Sequence[float]] = list(zip(*(each.tolist() for each in batch.joules.values()), strict=True))
        shares = shares or [()] * len(batch.finished)
        for finished, joules, prefill, late in zip(
            batch.finished, shares, batch.prefill.tolist(), batch.late.tolist(), strict=True
        ):
            if not finished.ghost:
                yield self._settle(finished, dict(zip(names, joules, strict=True)), late), prefill

    def _settle(self, finished: Finished, joules: dict[str, float], late: float) -> SettledRequest:
        news = finished.news
        first = news.first_token
        return SettledRequest(
            server=self.settings.name,
            model=self._name_model(news.model),
            id=news.id,
            start=news.start,
            end=news.end,
            outcome=news.outcome,
            method=self._method,
            joules=Joules(sum(joules.values())),
            joules_by_device={name: Joules(mine) for name, mine in joules.items()},
            late_joules=Joules(late),
            prompt_tokens=news.prompt_tokens,
            output_tokens=news.output_tokens,
            time_to_first_token_seconds=first - news.start + news.queued_seconds if first is not None else None,
            queued_seconds=news.queued_seconds,
        )

    def _count_phases(self, settled: SettledRequest, prefill: float) -> None:
        """Where the first token is not known, nobody can tell the phases apart: neither is counted."""
        if settled.time_to_first_token_seconds is not None:
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

    # --- views -----------------------------------------------------------------------------------------------------

    def view(self) -> ServerView:
        """The server as it stands."""
        requests, wanted = self.requests, self._whole.attribution.policy
        return ServerView(
            server=self.settings.name,
            running=len(requests.running),
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
            policy_reason=""
            if self.in_force == wanted
            else self.policy.doubt() or "another server on its devices doubts",
            coefficients=coefficients(self.policy),
        )

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
            "learned_until": self.windows.learned_until,
            "heard_until": self.heard_until,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot of a server of the same name."""
        policy: Any = self.policy
        self.requests.restore(snapshot["requests"])
        for saved in snapshot["tallies"]:
            self._tally(saved["model"]).restore(saved)
        if snapshot["policy"] is not None and hasattr(policy, "restore"):
            policy.restore(snapshot["policy"])
        self.late_joules = snapshot["late_joules"]
        self.overflows = snapshot["overflows"]
        self._model = self.settings.model or snapshot["model"]
        self.windows.learned_until = snapshot["learned_until"]
        self.heard_until = snapshot["heard_until"]
