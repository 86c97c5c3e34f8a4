import os
from pathlib import Path

import pytest

from exporter.domain.errors import SourceError
from exporter.domain.readings import CounterReading, ReadFailure
from exporter.domain.units import Instant
from exporter.power.rapl import RaplSource


def now() -> Instant:
    return Instant(1000.0)


def zone(root: Path, folder: str, name: str, microjoules: int = 0, **files: int) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(name + "\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    for file, number in {"max_energy_range_uj": 262_143_328_850, **files}.items():
        (path / file).write_text(f"{number}\n")
    return path


@pytest.fixture
def two_sockets(tmp_path: Path) -> Path:
    """As on a two-socket server whose zones are numbered against its packages, platform and MMIO zones included."""
    zone(tmp_path, "intel-rapl:0", "package-1", 11_000_000)
    zone(tmp_path, "intel-rapl:0:0", "dram", 12_000_000, max_energy_range_uj=65_712_999_613)
    zone(
        tmp_path,
        "intel-rapl:1",
        "package-0",
        1_500_000,
        constraint_0_power_limit_uw=205_000_000,
        constraint_1_power_limit_uw=246_000_000,
        constraint_0_max_power_uw=205_000_000,
    )
    zone(tmp_path, "intel-rapl:1:0", "core", 1)
    zone(tmp_path, "intel-rapl:1:1", "dram", 2_500_000)
    zone(tmp_path, "intel-rapl:2", "psys", 99_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1_500_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def test_packages_and_their_memory_are_metered_and_nothing_twice(two_sockets: Path) -> None:
    devices = RaplSource(now, two_sockets).devices
    assert [(d.name, d.kind, d.model) for d in devices] == [
        ("cpu0", "cpu", "package-0"),
        ("dram0", "dram", "dram of package-0"),
        ("cpu1", "cpu", "package-1"),
        ("dram1", "dram", "dram of package-1"),
    ]


def test_counters_are_joules_and_say_where_they_wrap(two_sockets: Path) -> None:
    source = RaplSource(now, two_sockets)
    assert [(r.device, r.joules) for r in source.read() if isinstance(r, CounterReading)] == [
        ("cpu0", 1.5),
        ("dram0", 2.5),
        ("cpu1", 11.0),
        ("dram1", 12.0),
    ]
    assert [d.counter_range_joules for d in source.devices] == pytest.approx([262143.32885] * 3 + [65712.999613])


def test_the_highest_limit_bounds_the_package(two_sockets: Path) -> None:
    assert [d.limit_watts for d in RaplSource(now, two_sockets).devices] == [246.0, None, None, None]


def test_dies_of_a_package_are_numbered_in_order(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0-die-1")
    zone(tmp_path, "intel-rapl:1", "package-0-die-0")
    assert [d.model for d in RaplSource(now, tmp_path).devices] == ["package-0-die-0", "package-0-die-1"]


def test_parts_are_found_inside_their_packages_folder_too(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path / "intel-rapl:0", "intel-rapl:0:0", "dram")
    assert [d.name for d in RaplSource(now, tmp_path).devices] == ["cpu0", "dram0"]


def test_each_read_asks_anew(two_sockets: Path) -> None:
    source = RaplSource(now, two_sockets)
    source.read()
    (two_sockets / "intel-rapl:1" / "energy_uj").write_text("2000000\n")
    assert source.read()[0] == CounterReading("cpu0", now(), 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "soon\n"])
def test_text_that_is_no_number_is_a_failure(two_sockets: Path, text: str) -> None:
    source = RaplSource(now, two_sockets)
    (two_sockets / "intel-rapl:1" / "energy_uj").write_text(text)
    assert source.read()[0] == ReadFailure("cpu0", now(), "unreadable")


def test_an_error_of_the_kernel_is_a_failure_of_that_zone_only(two_sockets: Path) -> None:
    source = RaplSource(now, two_sockets)
    os.close(source._counters[0].descriptor)
    source._counters[0] = type(source._counters[0])(source.devices[0], os.open(two_sockets, os.O_RDONLY))
    failed, *others = source.read()
    assert failed == ReadFailure("cpu0", now(), "os_error")  # a folder cannot be read
    assert all(isinstance(reading, CounterReading) for reading in others)


def test_a_machine_without_zones_is_a_failed_start(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no RAPL package under") as refused:
        RaplSource(now, tmp_path / "nowhere")
    assert "virtual machines" in refused.value.hint


def test_counters_kept_from_us_name_the_fix(two_sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path), flags)

    monkeypatch.setattr(os, "open", refuse)  # tests may run as root, whom no file mode stops
    with pytest.raises(SourceError, match="may not be read") as refused:
        RaplSource(now, two_sockets)
    assert f"chmod a+r {two_sockets}/*/energy_uj" in refused.value.hint


def test_a_package_without_a_counter_is_a_failed_start(two_sockets: Path) -> None:
    (two_sockets / "intel-rapl:1:1" / "energy_uj").unlink()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(SourceError, match="energy_uj cannot be opened"):
        RaplSource(now, two_sockets)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_closing_twice_closes_only_our_files(two_sockets: Path) -> None:
    source = RaplSource(now, two_sockets)
    source.close()
    other = os.open(two_sockets / "intel-rapl:0" / "name", os.O_RDONLY)  # likely to get a number that was ours
    source.close()
    assert os.pread(other, 9, 0) == b"package-1"
    os.close(other)
    assert {r.reason for r in source.read() if isinstance(r, ReadFailure)} == {"closed"}
