"""Small books to tell about."""

from exporter.domain.readings import Device, Method
from exporter.domain.snapshot import DeviceView, HistogramValue, ModelView, SettledRequest, Snapshot
from exporter.domain.units import Instant, Joules, Watts
from tests.metrics.examples import proxy_view

NOTHING = HistogramValue((), (0,), 0.0, (None,))


def device_view(method: Method = "estimated", metered: float = 100.0) -> DeviceView:
    return DeviceView(
        device=Device("cpu0", "cpu", model="Some Processor", method=method, has_counter=method == "measured"),
        power_watts=Watts(12.0),
        idle_watts=None,
        metered_joules=Joules(metered),
        booked={"requests": Joules(60.0), "idle": Joules(30.0), "unattributed": Joules(4.0)},
        unsettled_joules=Joules(6.0),
        sensor_period_seconds=None,
        counter_ratio=None,
        counter_in_use=False,
        interpolated_joules=Joules(0.0),
        gap_seconds=0.0,
        counter_resets=0,
        readings=10,
        failures={},
    )


def settled(start: float, end: float, joules: float, output_tokens: int | None = 10) -> SettledRequest:
    return SettledRequest(
        server="demo",
        model="tiny",
        id=str(start),
        start=Instant(start),
        end=Instant(end),
        outcome="ok" if output_tokens else "aborted",
        method="estimated",
        joules=Joules(joules),
        joules_by_device={"cpu0": Joules(joules)},
        late_joules=Joules(0.0),
        prompt_tokens=7,
        output_tokens=output_tokens,
        time_to_first_token_seconds=None,
        queued_seconds=0.0,
    )


def model_view() -> ModelView:
    return ModelView(
        server="demo",
        model="tiny",
        requests={"ok": 2, "aborted": 1},
        tokens={"input": 14, "output": 20},
        energy={},
        energy_per_output_token={},
        duration=NOTHING,
        time_to_first_token=NOTHING,
        phase_joules={},
    )


def books(device: DeviceView | None = None) -> Snapshot:
    """A request alone, then two that overlap, one of them aborted."""
    recent = (settled(0, 1, 10.0), settled(2, 4, 30.0), settled(3, 4, 20.0, output_tokens=None))
    proxies = (proxy_view("time", "demo", "tiny"), proxy_view("step_model", "demo", "tiny"))
    return Snapshot(Instant(5.0), (device or device_view(),), (model_view(),), (), recent, proxies)
