"""The pipeline: `receive_*` and `advance`; everything else is consequence.

Theory of operation. Readings flow through meters into slices; news flows into requests. `advance(now)` moves the
watermark, the instant before which no more news is expected:

    watermark = min(energy known until, for each server: log read until - settle time)

The settle time follows the source: it is at least the configured one and at least as long as recent news was late, so
a log that speaks only at a request's end is waited for as long as its longest recent request. Behind the watermark
slices ripen and requests settle; a horizon behind that slices close. No clock is asked and no file is read: two
pipelines that are told the same things at the same instants say the same, to the last bit.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from exporter.attribution.policy import AttributionPolicy
from exporter.attribution.time import TimePolicy
from exporter.domain.events import RequestEvent
from exporter.domain.gauges import Gauge
from exporter.domain.readings import Device, Reading
from exporter.domain.settings import Settings
from exporter.domain.snapshot import CarbonView, DeviceView, SettledRequest, Snapshot
from exporter.domain.units import Instant, Joules, Watts
from exporter.ledger import durable
from exporter.ledger.claims import Floats
from exporter.ledger.ledger import Group, Ledger
from exporter.ledger.slices import CONTEXT, DECODE, DECODING, PREFILL, PRESENCE
from exporter.pipeline.budgets import Budgets
from exporter.pipeline.carbon import Carbon
from exporter.pipeline.learning import counted, scene
from exporter.pipeline.observing import Observer
from exporter.pipeline.server import Server, serves
from exporter.pipeline.settling import Settling
from exporter.proxy.calibration.calibration import Calibration, Machine

_RECENT = 256
SAMPLES = "samples"
"""Key of what a checkpoint holds only now and then."""
_SAMPLES_SECONDS = 60.0
"""The latest samples of scores are large: they are saved so often, everything else at every checkpoint."""


class Pipeline:
    """Readings and events in, a snapshot out."""

    def __init__(
        self,
        settings: Settings,
        devices: Sequence[Device],
        since: Instant,
        *,
        calibrations: Mapping[str, Calibration] | None = None,
    ) -> None:
        """Begin empty books.

        Args:
            settings: the configuration.
            devices: everything that is metered.
            since: when the books begin.
            calibrations: by server name, what requests are estimated with where no device serves that server.
        """
        users = {
            server.name: [device.name for device in devices if serves(server, device)] for server in settings.servers
        }
        self.settings = settings
        self.ledger = Ledger(devices, users, settings.attribution, since=since, idle_watts=settings.power.idle_watts)
        observer = Observer(self.ledger, exclude_static=settings.attribution.idle == "exclude")
        given = calibrations or {}
        self.servers = {
            one.name: Server(one, settings, self.ledger, observer, given.get(one.name)) for one in settings.servers
        }
        self._settling = Settling(
            self.ledger,
            {name: server.requests for name, server in self.servers.items()},
            self._prices,
            observer,
            exclude_static=settings.attribution.idle == "exclude",
        )
        self._budgets = Budgets(settings.budgets)
        self._carbon = Carbon(settings.carbon)
        self._samples_saved = -inf
        self._recent: deque[SettledRequest] = deque(maxlen=_RECENT)
        self.watermark: float = since
        self._since: float | None = since

    # --- what happens outside --------------------------------------------------------------------------------------

    def receive_reading(self, reading: Reading) -> None:
        """A power source said this."""
        self._settling.leap(self._slice_number(reading.at))
        self.ledger.receive(reading)

    def receive_event(self, server: str, event: RequestEvent, heard_at: Instant | None) -> None:
        """A server's requests said this, live at `heard_at`, or before we listened (None)."""
        self.servers[server].requests.hear(event, heard_at)

    def receive_progress(self, server: str, heard_until: Instant) -> None:
        """Everything this server had written until then has been received."""
        self.servers[server].heard_until = heard_until

    def receive_gauge(self, server: str, gauge: Gauge) -> None:
        """A server said this of itself."""
        self.servers[server].gauges.hear(gauge)

    def advance(self, now: Instant) -> list[SettledRequest]:
        """Time has come to `now`. Returns the requests that settled."""
        for server in self.servers.values():
            server.requests.give_up_silent(min(now, server.heard_until))
        told = self._told_until(now)
        return self._settle(self._find_watermark(now, told), told)

    def finish(self, now: Instant) -> list[SettledRequest]:
        """The story ends at `now`: settle what has ended and close all books. Nothing can follow; no way to pause."""
        stop = self._slice_number(now) + 1  # whoever ended in the slice that is running now has ended
        for server in self.servers.values():
            server.gauges.look(inf)
        settled = self._settle(stop * self.settings.attribution.slice_seconds, inf)
        self._settling.close(stop)
        return settled

    # --- the watermark ---------------------------------------------------------------------------------------------

    def _slice_number(self, instant: float) -> int:
        return int(instant / self.settings.attribution.slice_seconds)

    def _told_until(self, now: Instant) -> float:
        """Everything has been told of the time before this, as far as energy asks for it.

        A quick sensor's is not asked for beyond what is metered; a slow one's has to be told of whole steps ahead.
        """
        rules = self.settings.attribution
        heard = (server.heard_until - server.settle_seconds() for server in self.servers.values())
        metered = inf if self.ledger.is_coarse else self.ledger.frontier(now)
        until = min([now - rules.slice_seconds, metered, *heard])
        for server in self.servers.values():
            server.gauges.look(until)
        return min((server.gauges.wait(until) for server in self.servers.values()), default=until)

    def _find_watermark(self, now: Instant, told_until: float) -> float:
        """Where the watermark may go. A log that is not read on holds it up, but not for ever."""
        until = min(told_until, self.ledger.frontier(now))
        return max(until, now - 0.75 * self.settings.attribution.horizon_seconds, self.watermark)

    def _settle(self, watermark: float, told_until: float) -> list[SettledRequest]:
        self.watermark = watermark
        batches = self._settling.advance(self._slice_number(watermark), told_until)
        for name, server in self.servers.items():
            server.gauges.forget(min(group.slices.edge(group.slices.closed) for group, _ in self.ledger.serving(name)))
        settled = [one for name, batch in batches.items() if batch.finished for one in self.servers[name].count(batch)]
        self._recent.extend(settled[-_RECENT:])
        self._budgets.charge(settled)
        self._carbon.add(settled)
        for server in self.servers.values():
            server.learn(watermark)
        return settled

    def _prices(self, group: Group, first: int, held: Floats) -> Floats:
        """Each lane's own policy, if every one of the group is sure of itself; else equal time for all."""
        servers = [self.servers[name] for name in group.lanes]
        sure = not any(server.doubt() for server in servers)
        policies: list[AttributionPolicy] = [server.policy if sure else TimePolicy() for server in servers]
        for server in servers:
            server.in_force = self.settings.attribution.policy if sure else "time"
        prices = np.empty_like(held)
        for lane, policy in enumerate(policies):
            rates = servers[lane].token_rates(first, first + held.shape[2])
            named = policy.prices(scene(counted(held[:, lane], rates), self.settings.attribution.slice_seconds))
            prices[PRESENCE, lane], prices[DECODING, lane], prices[CONTEXT, lane] = (
                named.presence,
                named.decoding,
                named.context,
            )
            prices[PREFILL, lane], prices[DECODE, lane] = named.prefill_token, named.decode_token
        return prices

    # --- what is known ---------------------------------------------------------------------------------------------

    def snapshot(self, now: Instant) -> Snapshot:
        """Everything, as it stands."""
        unsettled = self.ledger.unsettled()
        return Snapshot(
            at=now,
            devices=tuple(self._view(name, unsettled[name], now) for name in self.ledger.meters),
            models=tuple(tally.view() for server in self.servers.values() for tally in server.tallies.values()),
            servers=tuple(server.view() for server in self.servers.values()),
            recent=tuple(self._recent),
            proxies=tuple(view for server in self.servers.values() for view in server.proxying.views()),
            budgets=self._budgets.views(self.ledger.metered_joules),
            carbon=CarbonView(self._carbon.grams(), self._carbon.grams_per_joule, self._carbon.pue),
            label_overflows={
                "model": sum(server.overflows for server in self.servers.values()),
                "proxy": sum(server.proxying.overflows for server in self.servers.values()),
                "tenant": sum(server.tenants.overflows for server in self.servers.values()),
            },
            since=None if self._since is None else Instant(self._since),
        )

    def calibrations(self, date: str, machine: Machine) -> dict[str, tuple[Calibration, ...]]:
        """What was learned, by server, one for each model, to be used where nothing is metered.

        Args:
            date: now, in ISO 8601.
            machine: where this runs.
        """
        return {name: tuple(server.calibrations(date, machine)) for name, server in self.servers.items()}

    # --- across restarts -------------------------------------------------------------------------------------------

    def checkpoint(self, saved: set[str], *, last: bool = False) -> dict[str, bytes | None]:
        """What has changed since the last checkpoint, by key; None for what can be forgotten.

        Args:
            saved: keys in the store; kept up to date here.
            last: nothing follows: even what is saved only now and then is in it.
        """
        whole = {
            "since": self._since,
            "watermark": self.watermark,
            "ledger": durable.summary(self.ledger),
            "servers": {name: server.snapshot() for name, server in self.servers.items()},
            "budgets": self._budgets.snapshot(),
            "carbon": self._carbon.snapshot(),
        }
        changes = {"pipeline": json.dumps(whole).encode(), **durable.changes(self.ledger, saved)}
        if last or self.watermark - self._samples_saved >= _SAMPLES_SECONDS:
            self._samples_saved = self.watermark
            changes[SAMPLES] = json.dumps({name: one.samples() for name, one in self.servers.items()}).encode()
        return changes

    def restore(self, store: Mapping[str, bytes]) -> None:
        """Go on from checkpoints, before anything is received. Servers that are no longer configured are let go."""
        if "pipeline" not in store:
            return
        whole = json.loads(store["pipeline"])
        self.watermark = whole["watermark"]
        self._since = whole.get("since")
        durable.restore(self.ledger, whole["ledger"], store)
        self._budgets.restore(whole.get("budgets", {}))
        self._carbon.restore(whole.get("carbon", {}))
        samples = json.loads(store.get(SAMPLES, b"{}"))
        for name, server in self.servers.items():
            if name in whole["servers"]:
                server.restore(whole["servers"][name], samples.get(name, {}))

    def succeed(self, before: "Pipeline") -> None:
        """Go on from a finished one of this process: as over a restart, but that recent requests are still known."""
        handed = before.checkpoint(set(), last=True)
        self.restore({key: value for key, value in handed.items() if value is not None})
        self._recent.extend(before._recent)  # noqa: SLF001 - its own kind

    def _view(self, name: str, unsettled: float, now: Instant) -> DeviceView:
        meter, books, idle = self.ledger.meters[name], self.ledger.books[name], self.ledger.idle[name].watts
        return DeviceView(
            device=meter.device,
            power_watts=meter.watts(now),
            idle_watts=Watts(idle) if idle is not None else None,
            metered_joules=Joules(books.metered),
            booked={share: Joules(joules) for share, joules in books.booked.items()},
            unsettled_joules=Joules(unsettled),
            sensor_period_seconds=meter.period_seconds,
            counter_ratio=meter.ratio,
            counter_in_use=meter.counter_in_use,
            interpolated_joules=Joules(meter.interpolated_joules),
            gap_seconds=meter.gap_seconds,
            counter_resets=meter.resets,
            readings=meter.readings,
            failures=dict(meter.failures),
        )
