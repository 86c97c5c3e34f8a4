"""The ledger's durable state: what a restart needs to go on with the same books."""

from collections.abc import Mapping
from typing import Any

from exporter.domain.readings import Device
from exporter.ledger.ledger import Books, Group, Ledger
from exporter.ledger.pages import PAGE_SLICES, changed_pages, restore_pages

_MOST_ABSENT = 32


def identity(device: Device) -> str:
    """What makes it the same device after a restart: its UUID where it has one, else its name.

    One that is played from a recording is never the one that was recorded: the two have books of their own.
    """
    same = device.uuid or device.name
    return f"{same} recorded" if device.method == "recorded" else same


def group_key(ledger: Ledger, group: Group) -> str:
    """What makes it the same group after a restart."""
    devices = ",".join(identity(ledger.meters[name].device) for name in group.devices)
    return f"{devices}|{','.join(group.lanes)}|{ledger.slice_seconds}"


def summary(ledger: Ledger) -> dict[str, Any]:
    """Everything but the slices, as JSON values."""
    unsettled = ledger.unsettled()
    return {
        "devices": {
            identity(meter.device): {
                "meter": meter.snapshot(),
                "metered": ledger.books[name].metered,
                "held": ledger.books[name].held,
                "booked": ledger.books[name].booked,
                "unsettled": unsettled[name],
                "idle": [ledger.idle[name].mean, ledger.idle[name].seconds],
                "coarse": ledger.coarse[name].snapshot(),
            }
            for name, meter in ledger.meters.items()
        },
        "absent": ledger.absent,
        "groups": {
            group_key(ledger, group): {
                "closed": group.slices.closed,
                "ripe": group.slices.ripe,
                "reached": group.slices.reached,
            }
            for group in ledger.groups
        },
    }


def changes(ledger: Ledger, saved: set[str]) -> dict[str, bytes | None]:
    """Slices changed since this was last asked, by key; None for what can be forgotten.

    Args:
        ledger: whose slices.
        saved: keys in the store; kept up to date here.
    """
    fresh: dict[str, bytes | None] = {}
    current: set[str] = set()
    for group in ledger.groups:
        prefix = f"slices|{group_key(ledger, group)}|"
        for number, page in changed_pages(group.slices):
            fresh[f"{prefix}{number}"] = page
        oldest = group.slices.closed // PAGE_SLICES
        current |= {key for key in saved if key.startswith(prefix) and int(key.rpartition("|")[2]) >= oldest}
    fresh |= {key: None for key in saved - current - fresh.keys() if key.startswith("slices|")}
    saved.difference_update(key for key, value in fresh.items() if value is None)
    saved.update(key for key, value in fresh.items() if value is not None)
    return fresh


def restore(ledger: Ledger, saved: Mapping[str, Any], store: Mapping[str, bytes]) -> None:
    """Go on with saved books, on empty ones.

    Open slices of a group that no longer is (other devices, other servers, another grain) cannot be taken over: what
    was left in them is booked to unattributed, so that the books still balance. Devices that are not here now may come
    back, as GPUs do whose driver is loaded late: their books are kept for then.
    """
    known = {**saved.get("absent", {}), **saved["devices"]}
    kept = {name for group in ledger.groups if _restore_group(ledger, group, saved, store) for name in group.devices}
    for name, meter in ledger.meters.items():
        device = known.pop(identity(meter.device), None)
        if device is None:
            continue
        meter.restore(device["meter"])
        ledger.idle[name].mean, ledger.idle[name].seconds = device["idle"]
        books = ledger.books[name] = Books(device["metered"], device["held"], dict(device["booked"]))
        if name in kept:
            ledger.coarse[name].restore(device.get("coarse", []))
        else:
            books.held = 0.0
            books.book("unattributed", device["unsettled"])
    ledger.absent = dict(list(known.items())[-_MOST_ABSENT:])


def _restore_group(ledger: Ledger, group: Group, saved: Mapping[str, Any], store: Mapping[str, bytes]) -> bool:
    key = group_key(ledger, group)
    place = saved["groups"].get(key)
    if place is None:
        return False
    prefix = f"slices|{key}|"
    pages = {int(name.rpartition("|")[2]): page for name, page in store.items() if name.startswith(prefix)}
    group.slices.begin_at(place["closed"], place["ripe"], place["reached"])
    restore_pages(group.slices, pages)
    return True
