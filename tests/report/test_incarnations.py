from exporter.metrics.catalogue import energy, itself, requests
from exporter.report.sources.incarnations import Incarnation, grown, with_unsettled
from exporter.report.sources.series import Series

DEVICE = ("gpu0", "gpu", "GPU-0")
METERED = Series(energy.DEVICE_ENERGY.name, (*DEVICE, "H100"))
BOOKED = Series(energy.ENERGY.name, (*DEVICE, "requests"))
UNSETTLED = Series(energy.ENERGY_UNSETTLED.name, DEVICE)
BUCKET = Series(f"{requests.REQUEST_DURATION.name}_bucket", ("chat", "m", "1.0"))
MADE = Series(itself.SNAPSHOT_TIME.name, ())


def stood(metered: float, booked: float) -> dict[Series, float]:
    return {METERED: metered, BOOKED: booked, UNSETTLED: metered - booked}


def test_one_pair_of_samples_makes_a_difference_and_what_is_unsettled_may_shrink() -> None:
    assert grown([Incarnation(stood(100.0, 60.0), stood(150.0, 140.0))]) == {
        METERED: 50.0,
        BOOKED: 80.0,
        UNSETTLED: -30.0,
    }


def test_books_that_began_anew_count_from_zero_though_they_have_outgrown_the_old_ones() -> None:
    values = grown([Incarnation(stood(100.0, 90.0), stood(120.0, 100.0)), Incarnation({}, stood(900.0, 900.0))])
    assert values[METERED] == 20.0 + 900.0
    assert values[BOOKED] == 10.0 + 900.0


def test_what_was_unsettled_when_books_ended_stays_unsettled_so_that_they_balance() -> None:
    values = grown([Incarnation(stood(100.0, 90.0), stood(150.0, 110.0)), Incarnation({}, stood(30.0, 25.0))])
    assert values[METERED] == values[BOOKED] + values[UNSETTLED]


def test_a_series_that_only_the_old_books_have_is_counted_once() -> None:
    values = grown([Incarnation({}, {BUCKET: 7.0}), Incarnation({}, {METERED: 1.0})])
    assert values == {BUCKET: 7.0, METERED: 1.0}


def test_buckets_that_were_begun_anew_within_the_same_books_count_from_zero() -> None:
    assert grown([Incarnation({BUCKET: 50.0}, {BUCKET: 3.0})]) == {BUCKET: 3.0}


def test_what_is_no_counter_is_what_it_was_at_last() -> None:
    assert grown([Incarnation({MADE: 5.0}, {MADE: 9.0}), Incarnation({}, {MADE: 12.0})]) == {MADE: 12.0}


def test_the_first_sample_knows_what_was_unsettled_from_what_was_metered_and_booked() -> None:
    first = with_unsettled({METERED: 100.0, BOOKED: 60.0})
    assert first[UNSETTLED] == 40.0
