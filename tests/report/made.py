"""An account and a report by hand: two servers, three devices, all of a size that can be added up in one's head."""

from collections.abc import Sequence
from dataclasses import replace

from exporter.domain.readings import Device, Method
from exporter.domain.snapshot import HistogramValue
from exporter.report.account import Account, DeviceBook, Usage
from exporter.report.footprint import Line
from exporter.report.references import measured
from exporter.report.summary import Comparison, Reference, Report, Sci, Standing, Totals

BEGIN = 1_790_000_000.0
MODEL = "llama-3.1-8b"


def device(name: str = "gpu0", method: Method = "measured") -> Device:
    return Device(name, "gpu", uuid=f"GPU-{name}", model="NVIDIA H100 80GB HBM3", method=method)


def book(name: str = "gpu0", scale: float = 1.0, method: Method = "measured") -> DeviceBook:
    """7 kJ for requests, 2 kJ idle, 900 J nobody's, 100 J not settled."""
    booked = {"requests": 7000.0 * scale, "idle": 2000.0 * scale, "unattributed": 900.0 * scale}
    return DeviceBook(device(name, method), "", 10_000.0 * scale, booked, 100.0 * scale)  # type: ignore[arg-type] # shares


def histogram(total: float, number: int = 100) -> HistogramValue:
    return HistogramValue((total / number,), (number, 0), total, (None, None))


def usage(model: str = MODEL, method: Method | None = "measured", joules: float = 7000.0) -> Usage:
    return Usage(
        server="chat",
        model=model,
        place="",
        engine="vllm",
        devices=("gpu0",),
        method=method,
        requests={"ok": 98, "error": 1, "aborted": 1},
        tokens={"input": 5000, "output": 10_000},
        energy=histogram(joules),
        energy_per_output_token=histogram(70.0),
        duration=histogram(250.0),
        time_to_first_token=None,
    )


def account(*, method: Method = "measured", scale: float = 1.0, usages: Sequence[Usage] | None = None) -> Account:
    return Account(
        name="monday.jsonl.gz",
        origin="a recording",
        begin=BEGIN,
        end=BEGIN + 3600.0,
        books=(book("gpu0", scale, method), book("gpu1", 0.5 * scale, method)),
        usages=(usage(method=method),) if usages is None else tuple(usages),
    )


def standing(model: str = MODEL, method: Method | None = "measured") -> Standing:
    return Standing(
        model=model,
        hardware="2 x NVIDIA H100 80GB HBM3",
        engine="vllm",
        method=method,
        servers=("chat",),
        requests=100,
        output_tokens=10_000,
        joules=10_500.0,
        joules_per_request=105.0,
        joules_per_request_p50=90.0,
        joules_per_request_p95=240.0,
        joules_per_output_token=1.05,
        latency_p50_seconds=2.2,
        latency_p95_seconds=6.4,
        idle_share=0.2,
    )


def unknown(model: str = "nobody-knows") -> Standing:
    """Of which nothing but its requests is known."""
    return Standing(model, "", "", None, ("edge",), 3, 0, None, None, None, None, None, None, None, None)


def totals(method: Method = "measured") -> Totals:
    return Totals(
        15_000.0, 10_500.0, 3000.0, 1350.0, 150.0, {"ok": 98, "error": 1, "aborted": 1}, 5000, 10_000, (method,)
    )


def report(
    *,
    model: str = MODEL,
    method: Method = "measured",
    footprint: Sequence[Line] = (),
    sci: Sci | None = None,
    comparison: Comparison | None = None,
) -> Report:
    return Report(
        account=account(method=method, usages=(usage(model, method),)),
        totals=totals(method),
        standings=(standing(model, method), unknown()),
        footprint=footprint,
        sci=sci,
        comparison=comparison,
        references=measured(),
        made=BEGIN + 7200.0,
        version="0.1.0",
    )


def renamed(one: Report, name: str) -> Report:
    """The same, of an account of another name."""
    return replace(one, account=replace(one.account, name=name))


def noticed(one: Report, notice: str) -> Report:
    """The same, with a notice that must be shown."""
    return replace(one, notices=(notice,))


def referred(one: Report, reference: Reference) -> Report:
    """The same, beside one published figure."""
    return replace(one, references=(reference,))
