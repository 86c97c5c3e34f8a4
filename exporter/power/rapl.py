"""CPU packages and DRAM, through the energy counters of Linux powercap (RAPL; AMD's appear in the same tree).

Zones are folders `intel-rapl:0` (a package) and `intel-rapl:0:1` (a part of it). Of the parts only `dram` is taken:
`core` and `uncore` are inside the package's own count. `psys`, the whole platform, would count the package again, and
so would `intel-rapl-mmio`, the same package seen through another register.

Counters are microjoules and wrap at `max_energy_range_uj`. Their files stay open and are read by pread, which asks
the kernel anew each time.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from exporter.domain.errors import SourceError
from exporter.domain.readings import CounterReading, Device, ReadFailure, Reading
from exporter.domain.units import Instant, Joules

POWERCAP = Path("/sys/class/powercap")

CLOSED = "closed"
"""Reason of a reading asked for after `close`."""

REASONS: Mapping[int, str] = {
    errno.EACCES: "no_permission",
    errno.EPERM: "no_permission",
    errno.ENOENT: "device_gone",
    errno.ENODEV: "device_gone",
    errno.ENODATA: "no_data",
    errno.EIO: "io_error",
}
"""Errors of the kernel as reasons; any other is `os_error`, and text that is no number is `unreadable`."""

_LONGEST_NUMBER = 32
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Counter:
    device: Device
    descriptor: int


class RaplSource:
    """Every CPU package and its DRAM.

    Args:
        now: the present instant.
        root: the powercap tree.

    Raises:
        SourceError: there are no zones, or they may not be read.
    """

    def __init__(self, now: Callable[[], Instant], root: Path = POWERCAP) -> None:
        self._now = now
        self._closed = False
        self._counters: list[_Counter] = []
        zones = list(_zones(root))
        if not zones:
            raise _no_zones(root)
        try:
            for zone, device in zones:
                self._counters.append(_Counter(device, _open(zone)))
        except PermissionError as error:
            self.close()
            raise _not_allowed(root) from error
        except OSError as error:
            self.close()
            raise SourceError(f"RAPL counter {error.filename} cannot be opened: {error.strerror}") from error
        self._devices = tuple(counter.device for counter in self._counters)

    @property
    def devices(self) -> Sequence[Device]:
        """Packages as `cpu0`, `cpu1`, and the memory of each as `dram0`, `dram1`."""
        return self._devices

    def read(self) -> Sequence[Reading]:
        """Ask every counter once."""
        if self._closed:
            return [ReadFailure(device.name, self._now(), CLOSED) for device in self._devices]
        return [self._ask(counter) for counter in self._counters]

    def close(self) -> None:
        """Close the files."""
        if self._closed:
            return
        self._closed = True
        for counter in self._counters:
            with suppress(OSError):
                os.close(counter.descriptor)

    def _ask(self, counter: _Counter) -> Reading:
        before = self._now()
        try:
            microjoules = int(os.pread(counter.descriptor, _LONGEST_NUMBER, 0))
        except OSError as error:
            return ReadFailure(counter.device.name, before, REASONS.get(error.errno or 0, "os_error"))
        except ValueError:
            return ReadFailure(counter.device.name, before, "unreadable")
        middle = Instant((before + self._now()) / 2)
        return CounterReading(counter.device.name, middle, Joules(microjoules / 1e6))


def _zones(root: Path) -> Iterator[tuple[Path, Device]]:
    """Each zone to meter with its device: packages by their own numbers, since zone numbers follow boot order."""
    packages = sorted(_named(root, "package"), key=lambda zone: _package_order(zone[1]))
    for index, (zone, name) in enumerate(packages):
        yield zone, _device(zone, f"cpu{index}", name)
        for part, _ in _named(root, "dram", inside=zone):
            yield part, _device(part, f"dram{index}", f"dram of {name}")


def _named(root: Path, prefix: str, *, inside: Path | None = None) -> Iterator[tuple[Path, str]]:
    """Zones whose name begins so: all of the tree, or the parts of one, which stand beside it or in its folder."""
    pattern = f"{inside.name}:*" if inside else "intel-rapl:*"
    folders = {path.name: path for parent in (inside, root) if parent for path in parent.glob(pattern)}
    for folder in sorted(folders):
        name = _text(folders[folder] / "name")
        if name.startswith(prefix):
            yield folders[folder], name


def _package_order(name: str) -> tuple[int, ...]:
    """`package-1-die-0` as (1, 0)."""
    return tuple(int(number) for number in _NUMBERS.findall(name))


def _device(zone: Path, name: str, model: str) -> Device:
    wraps_at = _number(zone / "max_energy_range_uj")
    return Device(
        name=name,
        kind="dram" if name.startswith("dram") else "cpu",
        model=model,
        has_counter=True,
        counter_range_joules=wraps_at / 1e6 if wraps_at else None,
        limit_watts=_limit_watts(zone),
    )


def _limit_watts(zone: Path) -> float | None:
    """The highest of the zone's limits; firmware often sets one far above what the part can draw."""
    files = (path for pattern in ("*_power_limit_uw", "*_max_power_uw") for path in zone.glob(f"constraint_{pattern}"))
    most = max((_number(path) for path in files), default=0)
    return most / 1e6 if most > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdecimal() else 0


def _open(zone: Path) -> int:
    return os.open(zone / "energy_uj", os.O_RDONLY | os.O_CLOEXEC)


def _no_zones(root: Path) -> SourceError:
    return SourceError(
        f"no RAPL package under {root}",
        "needs Intel or AMD Zen with the intel_rapl_msr module; virtual machines mostly have none, and container "
        f"runtimes hide it: mount the host's /sys read-only and the powercap tree with it at {root}",
        kind="not_found",
    )


def _not_allowed(root: Path) -> SourceError:
    return SourceError(
        f"the RAPL counters under {root} may not be read",
        f"the kernel leaves them to root since 2020: run as root, or at each boot `chmod a+r {root}/*/energy_uj`, "
        "or give the process the capability DAC_READ_SEARCH",
        kind="no_permission",
    )
