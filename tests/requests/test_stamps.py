from datetime import UTC, datetime
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.domain.errors import ConfigError
from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.parts.stamps import (
    ENVELOPE_UNCERTAINTY_SECONDS,
    Stamp,
    format_stamps,
    iso_stamps,
    moment,
    month_day_stamps,
    time_zone,
)

NOW = 1_000_000.0


def _line(before: float, after: float, offset: float | None = 0.0, envelope: float | None = None) -> Line:
    return Line("", Instant(before), Instant(after), offset, None if envelope is None else Instant(envelope))


def _at(*parts: int) -> Instant:
    return Instant(datetime(*parts, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


# Two witnesses


def test_a_live_line_is_placed_by_its_reading_within_its_second() -> None:
    assert moment(_line(NOW + 0.3, NOW + 0.4), Stamp(NOW, 1.0)) == pytest.approx((NOW + 0.35, 0.05))


def test_a_reading_that_straddles_the_second_is_cut_by_the_stamp() -> None:
    assert moment(_line(NOW - 0.2, NOW + 0.1), Stamp(NOW, 1.0)) == pytest.approx((NOW + 0.05, 0.05))


def test_a_line_read_late_is_placed_by_its_stamp() -> None:
    assert moment(_line(NOW + 9.0, NOW + 10.0), Stamp(NOW, 0.001)) == pytest.approx((NOW + 0.0005, 0.0005))


def test_a_line_read_back_is_placed_by_its_stamp() -> None:
    assert moment(_line(-inf, NOW + 500.0), Stamp(NOW, 1.0)) == (NOW + 0.5, 0.5)


def test_a_line_read_back_was_written_before_its_file_was() -> None:
    assert moment(_line(-inf, NOW + 0.5), Stamp(NOW, 1.0)) == (NOW + 0.25, 0.25)


def test_a_stamp_in_the_future_gives_way_to_the_reading() -> None:
    assert moment(_line(NOW - 1.0, NOW), Stamp(NOW + 3600.0, 1.0)) == (NOW - 0.5, 0.5)
    assert moment(_line(-inf, NOW), Stamp(NOW + 3600.0, 1.0)) == (NOW, 0.5)


def test_a_stamp_is_moved_by_the_wall_clocks_offset() -> None:
    assert moment(_line(-inf, NOW + 100.0, offset=7.0), Stamp(NOW, 1.0)) == (NOW + 7.5, 0.5)


def test_no_stamp_is_believed_while_the_wall_clock_is_being_set() -> None:
    assert moment(_line(NOW, NOW + 0.1, offset=None), Stamp(NOW - 40.0, 0.001)) == pytest.approx((NOW + 0.05, 0.05))


def test_an_envelope_beats_a_stamp_of_a_second_but_not_one_of_a_millisecond() -> None:
    line = _line(NOW, NOW + 1.0, envelope=NOW + 0.7)
    assert moment(line, Stamp(NOW, 1.0)) == (NOW + 0.7, ENVELOPE_UNCERTAINTY_SECONDS)
    assert moment(line, None) == (NOW + 0.7, ENVELOPE_UNCERTAINTY_SECONDS)
    assert moment(line, Stamp(NOW + 0.695, 0.001)) == pytest.approx((NOW + 0.6955, 0.0005))


def test_without_any_witness_nothing_is_known() -> None:
    assert moment(_line(-inf, NOW), None) is None


@settings(deadline=None)
@given(
    st.floats(-100.0, 100.0),
    st.floats(0.0, 2.0),
    st.sampled_from([1.0, 0.001, 1e-6]),
    st.floats(0.0, 1.0),
    st.booleans(),
)
def test_the_true_instant_is_within_the_uncertainty(
    true: float,
    lag: float,
    precision: float,
    poll: float,
    read_back: bool,  # noqa: FBT001
) -> None:
    written = NOW + true
    stamp = written // precision * precision
    read = written + lag
    line = _line(-inf if read_back else min(read - poll, written), read)
    found = moment(line, Stamp(stamp, precision))
    assert found is not None
    assert abs(found.at - written) <= found.uncertainty + 1e-6


# Texts


def test_a_stamp_without_year_is_of_the_year_in_which_it_was_read() -> None:
    assert month_day_stamps(UTC).read("11-21 04:09:05", _at(2026, 11, 21, 4, 10)) == (_at(2026, 11, 21, 4, 9, 5), 1.0)


@pytest.mark.parametrize(
    ("text", "read", "meant"),
    [
        ("12-31 23:59:59", _at(2027, 1, 1, 0, 0, 1), _at(2026, 12, 31, 23, 59, 59)),
        ("01-01 00:00:03", _at(2026, 12, 31, 23, 59, 58), _at(2027, 1, 1, 0, 0, 3)),
        ("11-22 04:00:00", _at(2026, 11, 21, 4, 10), _at(2026, 11, 22, 4, 0)),
        ("11-23 04:00:00", _at(2026, 11, 21, 4, 10), _at(2025, 11, 23, 4, 0)),
        ("02-29 12:00:00", _at(2027, 3, 1), _at(2024, 2, 29, 12)),
    ],
)
def test_the_year_wraps_at_new_year_and_is_never_more_than_a_day_ahead(
    text: str, read: Instant, meant: Instant
) -> None:
    assert month_day_stamps(UTC).read(text, read) == (meant, 1.0)


@pytest.mark.parametrize(
    ("text", "seconds", "precision"),
    [
        ("2026-11-21T04:17:10.157272179Z", _at(2026, 11, 21, 4, 17, 10) + 0.157272179, 1e-9),
        ("2026-11-21T04:17:42.656Z", _at(2026, 11, 21, 4, 17, 42) + 0.656, 1e-3),
        ("2026-11-21T05:17:10+01:00", _at(2026, 11, 21, 4, 17, 10), 1.0),
        ("2026-11-20T23:47:10-0430", _at(2026, 11, 21, 4, 17, 10), 1.0),
        ("2026-11-21 04:09:51,311", _at(2026, 11, 21, 4, 9, 51) + 0.311, 1e-3),
    ],
)
def test_iso_stamps_are_as_fine_as_they_are_written(text: str, seconds: float, precision: float) -> None:
    assert iso_stamps(UTC).read(text, Instant(2e9)) == pytest.approx((seconds, precision), abs=1e-6)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-41 04:09:51", "11-21 04:09", "2026-11-21T25:00:00Z", "x" * 100, "2026-11-21T04:17:5"]
)
def test_a_text_that_is_no_stamp_is_none(text: str) -> None:
    assert iso_stamps(UTC).read(text, Instant(2e9)) is None
    assert month_day_stamps(UTC).read(text, Instant(2e9)) is None


def test_stamps_without_a_zone_are_in_the_one_that_was_given() -> None:
    stamps = iso_stamps(time_zone("Asia/Tokyo"))
    assert stamps.read("2026-11-21 13:09:51", Instant(2e9)) == (_at(2026, 11, 21, 4, 9, 51), 1.0)


def test_an_hour_that_comes_twice_is_told_apart_by_the_reading() -> None:
    stamps = iso_stamps(ZoneInfo("Europe/Berlin"))  # clocks went from 3:00 back to 2:00 at 1:00 UTC
    first, second = _at(2026, 10, 25, 0, 30), _at(2026, 10, 25, 1, 30)
    assert stamps.read("2026-10-25 02:30:00", first) == (first, 1.0)
    assert iso_stamps(ZoneInfo("Europe/Berlin")).read("2026-10-25 02:30:00", second) == (second, 1.0)


@pytest.mark.parametrize(
    ("form", "text", "seconds"),
    [
        ("%d/%b/%Y:%H:%M:%S.%f", "21/Nov/2026:04:17:07.370", _at(2026, 11, 21, 4, 17, 7) + 0.37),
        ("%d/%b/%Y:%H:%M:%S %z", "21/Nov/2026:05:17:07 +0100", _at(2026, 11, 21, 4, 17, 7)),
        ("%Y-%m-%d %I:%M:%S %p", "2026-11-21 04:17:07 PM", _at(2026, 11, 21, 16, 17, 7)),
        ("%Y%m%d%H%M%S", "20261121041707", _at(2026, 11, 21, 4, 17, 7)),
    ],
)
def test_formats_are_read_whether_fast_or_slow(form: str, text: str, seconds: float) -> None:
    stamp = format_stamps(form, UTC)(text, Instant(2e9))
    assert stamp is not None
    assert stamp.seconds == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("form", ["", "%H:%M:%S", "%Q", "no format"])
def test_a_format_without_a_full_date_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        format_stamps(form, UTC)


@pytest.mark.parametrize("name", ["Mars/Olympus_Mons", "", "../etc/passwd", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        time_zone(name)
