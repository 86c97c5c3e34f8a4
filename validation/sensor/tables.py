"""What was measured on a board, as tables. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from validation.sensor.checks import Assumed
from validation.sensor.probing import EXPORTER_INTERVAL_SECONDS, Probed, percentile
from validation.sensor.sensors import COUNTER
from validation.sensor.steps import changes
from validation.sensor.views import View, agreements, phases, series

_BINS = 12


def tables(probed: Probed, seen: Mapping[str, View], assumed: Assumed) -> dict[str, tuple[dict[str, Any], ...]]:
    """By title."""
    return {
        "What the board answers": tuple(_answers(probed, seen)),
        "Counter and integrated power": tuple(_energies(probed, seen)),
        "Gaps between steps of the counter": tuple(_histogram(probed)),
        "NVML's own buffer of power samples": tuple(_buffers(probed)),
        "What the exporter assumes": (
            {
                "meter beside the counter": assumed.meter,
                "window (ms)": _milli(assumed.window_seconds),
                "uses a counter": assumed.has_counter,
                "asks every (ms)": _milli(EXPORTER_INTERVAL_SECONDS),
                "why not": assumed.why,
            },
        ),
        "Load": ({"load": probed.load_name or "none", "time planned, of the full plan": probed.shortened},),
    }


def _answers(probed: Probed, seen: Mapping[str, View]) -> Iterator[dict[str, Any]]:
    for view in seen.values():
        good = view.best
        yield {
            "sensor": view.name,
            "asked as": view.what,
            "new every (ms)": _milli(view.stepping.period_seconds),
            "window (ms)": _milli(good.window_seconds if good else None),
            "lag (ms)": _milli(good.lag_seconds if good else None),
            "least step (mJ, mW)": view.stepping.resolution,
            "call p50 (us)": _micro(percentile(view.idle_call, 50)),
            "call p99 (us)": _micro(percentile(view.idle_call, 99)),
            "under load p50 (us)": _micro(percentile(view.load_call, 50)),
            "under load p99 (us)": _micro(percentile(view.load_call, 99)),
            "calls/s": view.calls_per_second,
            "failed": view.failures,
            "remark": view.stepping.why,
        }
    for name, why in probed.sensors.refused.items():
        yield {"sensor": name, "asked as": "", "remark": f"not answered: {why}"}


def _energies(probed: Probed, seen: Mapping[str, View]) -> Iterator[dict[str, Any]]:
    found = agreements(probed, seen)
    for title in phases(probed):
        parts = {name: each[title] for name, each in found.items() if title in each}
        if not parts:
            continue
        first = next(iter(parts.values()))
        ratios = {f"counter/{name}": each.ratio for name, each in parts.items()}
        yield {"phase": title, "seconds": first.seconds, "counter (J)": first.counter_joules, **ratios}


def _histogram(probed: Probed) -> Iterator[dict[str, Any]]:
    gaps = [np.diff(changes(samples).at) for samples in series(probed, COUNTER)]
    together = np.concatenate(gaps) if gaps else np.empty(0)
    if not together.size:
        return
    counts, edges = np.histogram(together, bins=_BINS)
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        if count:
            yield {"from (ms)": 1e3 * float(low), "to (ms)": 1e3 * float(high), "gaps": int(count)}


def _buffers(probed: Probed) -> Iterator[dict[str, Any]]:
    for when, found in probed.buffers.items():
        yield {
            "when": when,
            "samples": found.samples,
            "samples/s": found.per_second,
            "span (s)": found.span_seconds if found.samples else None,
            "type": found.type,
            "call (ms)": _milli(found.call_seconds),
            "remark": found.why,
        }


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def _micro(seconds: float | None) -> float | None:
    return None if seconds is None else 1e6 * seconds
