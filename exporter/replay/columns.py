"""The tables that a replay exports: what their columns are called and hold, and what stands in a row.

A value that is not known is None, never zero. Units stand in the names; instants are seconds since 1970.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from exporter.domain.settings import PolicyName
from exporter.domain.snapshot import DeviceView, ScoreName, SettledRequest, Share
from exporter.replay.comparison import Standing

Kind = Literal["text", "number", "count"]
Columns = Mapping[str, Kind]
Row = Sequence[Any]

_SHARES: tuple[Share, ...] = ("requests", "idle", "unattributed")
_SCORES: tuple[ScoreName, ...] = ("mape", "bias", "r2", "pearson", "spearman")


def request_columns(devices: Sequence[str], proxies: Sequence[str]) -> Columns:
    """Of a settled request; joules by device and predictions by proxy have columns of their own."""
    number: Kind = "number"
    of_devices = dict.fromkeys((f"{name}_joules" for name in devices), number)
    of_proxies = dict.fromkeys((f"predicted_{name}_joules" for name in proxies), number)
    return {
        "policy": "text",
        "server": "text",
        "model": "text",
        "id": "text",
        "start_seconds": "number",
        "end_seconds": "number",
        "outcome": "text",
        "method": "text",
        "joules": "number",
        "low_joules": "number",
        "high_joules": "number",
        "late_joules": "number",
        "metered_joules": "number",
        "prompt_tokens": "count",
        "output_tokens": "count",
        "time_to_first_token_seconds": "number",
        "queued_seconds": "number",
        "concurrency": "number",
        **of_devices,
        **of_proxies,
    }


def request_row(policy: PolicyName, one: SettledRequest, devices: Sequence[str], proxies: Sequence[str]) -> Row:
    """A request as `policy` shares energy."""
    predicted = {str(name): joules for name, joules in one.predicted.items()}
    return (
        *(policy, one.server, one.model, one.id, one.start, one.end, one.outcome),
        *((one.method, one.joules) if one.has_energy else (None, None)),
        *(one.interval or (None, None)),
        *(one.late_joules, one.metered_joules, one.prompt_tokens, one.output_tokens),
        *(one.time_to_first_token_seconds, one.queued_seconds, one.concurrency),
        *(one.joules_by_device.get(name) for name in devices),
        *(predicted.get(name) for name in proxies),
    )


BOOK_COLUMNS: Columns = {
    "policy": "text",
    "device": "text",
    "kind": "text",
    "uuid": "text",
    "name": "text",
    "method": "text",
    "metered_joules": "number",
    "requests_joules": "number",
    "idle_joules": "number",
    "unattributed_joules": "number",
    "unsettled_joules": "number",
    "interpolated_joules": "number",
    "gap_seconds": "number",
}


def book_row(policy: PolicyName, view: DeviceView) -> Row:
    """A device's books: metered = requests + idle + unattributed + unsettled."""
    device = view.device
    return (
        *(policy, device.name, device.kind, device.uuid, device.model, device.method, view.metered_joules),
        *(view.booked.get(share, 0.0) for share in _SHARES),
        *(view.unsettled_joules, view.interpolated_joules, view.gap_seconds),
    )


SCORE_COLUMNS: Columns = {
    "server": "text",
    "model": "text",
    "kind": "text",
    "name": "text",
    "ground": "text",
    "samples": "count",
    **dict.fromkeys(_SCORES, "number"),
}


def score_row(one: Standing) -> Row:
    """How a policy or proxy did on one ground."""
    return (
        *(one.server, one.model, one.kind, one.name, one.ground, one.samples),
        *(one.scores.get(score) for score in _SCORES),
    )
