"""Which power sources work here, which will be used, and how well."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from exporter.clock import SystemClock
from exporter.doctor import slow, words
from exporter.doctor.finding import Finding, Verdict
from exporter.doctor.probe import PROBE_SECONDS, Measured, Probe, probe
from exporter.domain.errors import SourceError
from exporter.domain.readings import Device
from exporter.domain.settings import PowerSettings
from exporter.metering.changeover import may_come_later, seconds_until_next
from exporter.power.select import AUTO, SOURCES, Chosen, Factory, Opened, open_chosen

PERIODS_TO_METER = 10
"""A request's edges fall inside sensor periods: with so many between them they hardly matter."""

_AGREE = (0.8, 1.25)
_LAGGING_SECONDS = 0.5
_SILENT_RECORDING = "that device may have said nothing at first; `llm-energy-exporter replay` shows what it ever said"


@dataclass(frozen=True, slots=True)
class Metering:
    """What was found, and the devices that will be metered. `works`: whether the exporter can start with that."""

    findings: tuple[Finding, ...]
    devices: tuple[Device, ...] = ()
    works: bool = True


def examine(
    settings: PowerSettings,
    clock: SystemClock,
    *,
    calibrated: bool = False,
    sources: Mapping[str, Factory] = SOURCES,
    seconds: float = PROBE_SECONDS,
) -> Metering:
    """Try every source, then watch those that the settings choose; `calibrated` is as in `open_chosen`."""
    tried = [_try(name, settings, clock, sources) for name in sources]
    try:
        chosen = open_chosen(settings, clock.now, calibrated=calibrated, sources=sources)
    except SourceError:
        said = any(finding.verdict == "fail" for finding in tried)
        return Metering((*tried, _nothing(settings, said=said)), works=False)
    tried += _fallback(chosen)
    if chosen.nothing:
        return Metering((*tried, Finding("Power", "in use", "note", f"nothing is metered: {chosen.nothing}")))
    opened = chosen.opened
    probes = [(each, probe(each.source, settings.interval_seconds, clock, seconds=seconds)) for each in opened]
    findings = [finding for each, shown in probes for finding in _report(each, shown, settings)]
    return Metering((*tried, *findings), tuple(device for each in opened for device in each.source.devices))


# --- which sources work --------------------------------------------------------------------------------------------


def _try(name: str, settings: PowerSettings, clock: SystemClock, sources: Mapping[str, Factory]) -> Finding:
    try:
        source = sources[name](settings, clock.now)
    except SourceError as error:
        return _refused(name, error, settings)
    devices = source.devices
    source.close()
    names = ", ".join(device.name for device in devices)
    if name == "recording":
        return Finding("Power", name, "note", f"can be played ({names})")
    if all(device.method == "estimated" for device in devices):
        return Finding("Power", name, "note", f"works, as an estimate from utilisation ({names})")
    return Finding("Power", name, "ok", f"works ({names})")


def _refused(name: str, error: SourceError, settings: PowerSettings) -> Finding:
    # A selector that fits no GPU is a wrong setting, whatever else could stand in for the GPUs.
    wanted = name in settings.source or (name == "nvml" and settings.gpus != "all")
    verdict: Verdict = "fail" if wanted else "note"
    return Finding(
        "Power",
        name,
        verdict,
        f"does not work here: {error.reason}",
        error.hint or "mend that, or choose another power.source",
    )


def _nothing(settings: PowerSettings, *, said: bool) -> Finding:
    """Nothing to meter with: a problem of its own only where the sources' own findings have not `said` so."""
    text = f"nothing: power.source is {', '.join(settings.source)}, so the exporter will not start"
    fix = "mend what is said above, or set power.source to one that works"
    return Finding("Power", "in use", "note" if said else "fail", text, fix)


def _fallback(chosen: Chosen) -> Iterator[Finding]:
    """What `run` would go on looking for."""
    wanted = may_come_later(chosen.passed_over)
    if not wanted:
        return
    names, instead = ", ".join(wanted), ", ".join(each.name for each in chosen.opened) or "nothing"
    first = words.duration(seconds_until_next(0, wanted.values()))
    again = f"`run` tries {names} again after {first}, then less and less often, and changes over once it works"
    yield Finding("Power", "fallback", "note", f"`auto` falls back from {names} to {instead}", details=(again,))


# --- how well ------------------------------------------------------------------------------------------------------


def _report(opened: Opened, shown: Probe, settings: PowerSettings) -> Iterator[Finding]:
    yield _choice(opened, settings)
    for measured in shown.devices:
        yield _identity(measured.device)
        yield _sensor(measured)
        yield from slow.examine(measured)
        if measured.counter_joules is not None and measured.power_joules is not None:
            yield _agreement(measured)
        if measured.readings:
            yield _expectation(measured, shown.interval_seconds)
    yield _calls(shown, settings)


def _choice(opened: Opened, settings: PowerSettings) -> Finding:
    why = "chosen by `auto`" if settings.source == (AUTO,) else "as configured"
    if any(device.method == "recorded" for device in opened.source.devices):
        text = f"{opened.name}, {why}: joules are RECORDED, nothing is measured here and now"
        return Finding("Power", "in use", "warn", text, "choose another power.source to measure what runs here")
    if any(device.method == "estimated" for device in opened.source.devices):
        text = f"{opened.name}, {why}: joules are ESTIMATED from CPU utilisation, no sensor is read"
        fix = "make nvml or rapl work (see above) to measure; power.cpu sets the watts of the estimate"
        return Finding("Power", "in use", "warn", text, fix)
    return Finding("Power", "in use", "ok", f"{opened.name}, {why}: joules are measured")


def _identity(device: Device) -> Finding:
    limit = f"limit {device.limit_watts:g} W" if device.limit_watts is not None else "limit unknown"
    text = ", ".join(part for part in (device.model or device.kind, device.uuid, limit) if part)
    return Finding("Power", device.name, "ok", text, details=tuple(_means(device)))


def _means(device: Device) -> Iterator[str]:
    if device.origin:
        yield f"recorded: {device.origin}"
    if device.method == "estimated":
        yield "no sensor: idle watts + (max - idle) x utilisation, over every " + words.duration(
            device.power_window_seconds
        )
        return
    yield "energy comes from its counter" if device.has_counter else "no energy counter: power is integrated"
    window = device.power_window_seconds
    if window >= _LAGGING_SECONDS:
        yield f"its power is a mean over the last {words.duration(window)}: it follows load late, and is dated back"
    elif window > 0.0:
        yield f"its power is a mean over the last {words.duration(window)}"


def _sensor(measured: Measured) -> Finding:
    name = f"{measured.device.name} draw"
    failed = ", ".join(f"{reason} {times}x" for reason, times in sorted(measured.failures.items()))
    if not measured.readings:
        played = measured.device.method == "recorded"
        fix = _SILENT_RECORDING if played else "nvidia-smi should show the same fault; reset or exclude it (power.gpus)"
        silent = failed or "no answer within two seconds"
        return Finding("Power", name, "fail", f"gave no reading: {silent}", fix)
    draws = f"{measured.mean_watts:.3g} W" if measured.mean_watts is not None else "too little to tell its watts"
    text = f"{draws}{_updates(measured)}"
    if failed:
        return Finding(
            "Power", name, "warn", f"{text}; calls failed: {failed}", "see the driver's log (dmesg) if it lasts"
        )
    return Finding("Power", name, "ok", text)


def _updates(measured: Measured) -> str:
    if measured.device.method == "estimated":
        return ", by the estimate"
    if measured.period_seconds is not None:
        return f", a new value every {words.duration(measured.period_seconds)}"
    if measured.always_new:
        return ", a new value at every read"
    return ", changes too seldom to tell how often"


def _agreement(measured: Measured) -> Finding:
    name = f"{measured.device.name} check"
    counter, power, ratio = measured.counter_joules, measured.power_joules, measured.ratio
    text = f"{counter:.4g} J by counter, {power:.4g} J by integrated power, over {measured.seconds:.1f} s"
    if ratio is None:
        return Finding("Power", name, "note", text)
    text += f": ratio {ratio:.2f}"
    if _AGREE[0] <= ratio <= _AGREE[1]:
        return Finding("Power", name, "ok", text)
    fix = "run this again under steady load: the two may differ for seconds while load changes, not for a minute"
    return Finding("Power", name, "warn", text, fix)


def _expectation(measured: Measured, interval_seconds: float) -> Finding:
    name, device = f"{measured.device.name} expect", measured.device
    if device.method == "recorded":
        return Finding("Power", name, "note", "no request can be metered: what runs here did not draw these joules")
    if device.method == "estimated":
        return Finding("Power", name, "note", "no request can be metered: all joules are estimates, and labelled so")
    grain = measured.grain_seconds(interval_seconds)
    if grain is None:
        return Finding("Power", name, "note", "how short a request can be metered is not known yet; try under load")
    shortest = words.duration(float(f"{PERIODS_TO_METER * grain:.2g}"))
    text = f"a request that runs alone for {shortest} or longer can be metered ({PERIODS_TO_METER} sensor periods)"
    shorter = "shorter and overlapping ones get their share of what was metered around them"
    return Finding("Power", name, "ok", text, details=(shorter,))


def _calls(shown: Probe, settings: PowerSettings) -> Finding:
    every = words.duration(shown.interval_seconds)
    text = f"a read takes {words.duration(shown.call_seconds)}, every {every}: {shown.call_share:.2%} of the time"
    if shown.interval_seconds <= settings.interval_seconds:
        return Finding("Power", "reading", "ok", text)
    fix = "nothing must be done: calls are slow, so they are made less often than power.interval wants"
    return Finding("Power", "reading", "note", text, fix)
