"""What is read off an exporter's page, and off two of them."""

from dataclasses import replace
from itertools import pairwise

import pytest

from exporter.domain.errors import TuneError, UsageError
from exporter.metrics.exposition import render
from exporter.tune import page
from exporter.tune.choosing import choose, expect_measured
from exporter.tune.objective import Objective, parse, slowdown
from exporter.tune.page import DeviceBooks, Histogram, Interval, Page, RestartedError, ServerBooks, Subject
from tests.metrics.examples import published

SUBJECT = Subject(frozenset({"chat"}), frozenset({"GPU-1"}))


def histogram(**counts: float) -> Histogram:
    return Histogram({float(name[1:].replace("_", ".")): count for name, count in counts.items()}, 0.0)


def books(factor: float = 1.0, *, at: float = 0.0, method: str = "measured") -> Page:
    """A page whose counters stand at `factor` times something."""
    duration = Histogram({1.0: 2.0 * factor, 10.0: 10.0 * factor, float("inf"): 10.0 * factor}, 30.0 * factor)
    server = ServerBooks(
        10.0 * factor, 1000.0 * factor, 10.0 * factor, {method: 500.0 * factor}, duration, duration, 2.0, {"GPU-1"}
    )
    shares = {"requests": 500.0 * factor, "idle": 50.0 * factor, "unattributed": 150.0 * factor}
    device = DeviceBooks("gpu0", "measured", "gpu", 700.0 * factor, shares)
    return Page(at, 1.0, {"chat": server}, {"GPU-1": device})


def test_a_real_page_is_read_to_its_last_figure() -> None:
    snapshot = published().snapshot
    read = page.parse(render(published())[0].decode())
    for name, server in read.servers.items():
        models = [view for view in snapshot.models if view.server == name]
        assert server.requests == sum(sum(view.requests.values()) for view in models)
        assert server.output_tokens == sum(view.tokens["output"] for view in models)
        joules = sum(histogram.sum for view in models for histogram in view.energy.values())
        assert sum(server.joules.values()) == pytest.approx(joules)
        assert server.duration.count == sum(sum(view.duration.counts) for view in models)
        assert server.duration.sum == pytest.approx(sum(view.duration.sum for view in models))
    assert set(read.servers) >= {view.server for view in snapshot.models}
    metered = {view.device.uuid: view.metered_joules for view in snapshot.devices if view.device.uuid}
    assert {uuid: device.joules for uuid, device in read.devices.items()} == metered
    assert read.at == snapshot.at
    assert read.started == published().health.start


def test_the_difference_of_two_pages_is_what_happened_in_between() -> None:
    interval = page.between(books(1.0, at=100.0), books(3.0, at=160.0), SUBJECT)
    assert (interval.seconds, interval.at) == (60.0, 130.0)
    assert (interval.joules, interval.output_tokens, interval.requests) == (1000.0, 2000.0, 20.0)
    assert (interval.device_joules, interval.unattributed_joules) == (1400.0, 300.0)
    assert interval.methods == {"measured"}
    assert interval.latency(slowdown(1.1)) == 60.0 / 2000.0
    assert interval.latency(parse("p50=1s")) == pytest.approx(1.0 + 9.0 * (10.0 - 4.0) / 16.0)


def test_servers_are_added_up_and_others_left_out() -> None:
    first, last = books(1.0), books(2.0, at=10.0)
    for one in (first, last):
        one.servers["other"] = one.servers["chat"]
        one.servers["third"] = one.servers["chat"]
    both = page.between(first, last, Subject(frozenset({"chat", "other"}), frozenset({"GPU-1"})))
    assert (both.requests, both.duration.count) == (20.0, 20.0)


@pytest.mark.parametrize("later", [books(0.5, at=10.0), replace(books(2.0, at=10.0), started=2.0), books(2.0, at=-1.0)])
def test_an_exporter_that_started_anew_or_counts_back_makes_no_interval(later: Page) -> None:
    with pytest.raises(RestartedError):
        page.between(books(1.0), later, SUBJECT)


def test_quantiles_are_those_of_prometheus_and_beyond_the_last_bound_too_high() -> None:
    one = histogram(b1=50.0, b2=100.0, binf=100.0)
    assert one.quantile(0.5) == 1.0
    assert one.quantile(0.75) == 1.5
    assert histogram(b1=10.0, binf=100.0).quantile(0.95) == 2.0
    assert histogram(b1=0.0, binf=0.0).quantile(0.95) is None


def test_the_error_is_that_of_parts_that_disagree() -> None:
    same = [interval(100.0, 50.0)] * 8
    apart = [interval(100.0 * (1.0 + 0.1 * (-1) ** number), 50.0) for number in range(8)]
    assert page.relative_error(same) == 0.0
    assert page.relative_error(apart) == pytest.approx(0.1 / 7**0.5)
    assert page.relative_error(same[:3]) is None
    assert page.relative_error([interval(100.0, 0.0)] * 8) is None


def interval(joules: float, tokens: float) -> Interval:
    empty = Histogram()
    return Interval(0.0, 1.0, joules, tokens, 1.0, 1.0, frozenset(), empty, empty, joules, 0.0)


def test_parts_follow_each_other() -> None:
    pages = [books(float(number), at=float(number)) for number in (1, 2, 4)]
    assert [one.requests for one in page.parts_between(pages, SUBJECT)] == [10.0, 20.0]
    assert len(list(pairwise(pages))) == 2


# ---- whose books ----


def test_the_only_server_and_its_gpus_are_chosen_by_themselves() -> None:
    assert choose(books(), (), ()).subject == SUBJECT
    assert choose(books(), ("chat",), ("GPU-1",)).subject == SUBJECT


def test_servers_on_different_gpus_are_a_choice_of_the_user() -> None:
    both = books()
    both.servers["code"] = replace(both.servers["chat"], uuids={"GPU-2"})
    both.devices["GPU-2"] = replace(both.devices["GPU-1"], name="gpu1")
    with pytest.raises(UsageError, match="--server: chat, code"):
        choose(both, (), ())
    assert choose(both, ("code",), ()).subject == Subject(frozenset({"code"}), frozenset({"GPU-2"}))
    assert choose(both, (), ("GPU-2",)).subject == Subject(frozenset({"code"}), frozenset({"GPU-2"}))


def test_gpus_that_are_left_out_and_servers_that_share_are_mentioned() -> None:
    shared = books()
    shared.devices["GPU-2"] = replace(shared.devices["GPU-1"], name="gpu1")
    shared.servers["chat"].uuids.add("GPU-2")
    shared.servers["code"] = replace(shared.servers["chat"], uuids={"GPU-1"})
    left, neighbour = choose(shared, ("chat",), ("GPU-1",)).cautions
    assert "chat also works on gpu1" in left
    assert "code shares the GPU" in neighbour


@pytest.mark.parametrize(
    ("servers", "uuids", "error", "says"),
    [
        (("nobody",), (), UsageError, "the exporter knows chat"),
        ((), ("GPU-9",), TuneError, r"does not meter GPU-9; it meters gpu0 \(GPU-1\)"),
    ],
)
def test_what_is_not_metered_there_is_refused(
    servers: tuple[str, ...], uuids: tuple[str, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        choose(books(), servers, uuids)


def test_a_page_without_a_server_on_a_gpu_is_refused() -> None:
    bare = books()
    bare.devices["GPU-1"].kind = "cpu"
    with pytest.raises(TuneError, match="no server works on a GPU"):
        choose(bare, (), ())


def test_estimated_energy_is_refused_by_device_and_by_request() -> None:
    expect_measured(books(), SUBJECT, frozenset({"measured"}))
    estimated = books()
    estimated.devices["GPU-1"].method = "simulated"
    with pytest.raises(TuneError, match="is simulated, not measured"):
        expect_measured(estimated, SUBJECT, frozenset())
    with pytest.raises(TuneError, match="is time_proxy, not measured"):
        expect_measured(books(), SUBJECT, frozenset({"time_proxy"}))


# ---- objectives ----


def test_objectives_are_read_and_said() -> None:
    assert parse("p95=20s") == Objective("duration", 0.95, 20.0)
    assert parse("duration:p99.9=1m") == Objective("duration", 0.999, 60.0)
    assert parse("ttft:p50=800ms") == Objective("ttft", 0.5, 0.8)
    assert str(parse("ttft:p50=800ms")) == "p50 of time to first token at most 800ms"
    assert str(slowdown(1.05)) == "at most 1.05 times the default's seconds per output token"


@pytest.mark.parametrize("text", ["", "p95", "p95=20", "95=20s", "p0=1s", "itl:p95=1s", "p95=0s", "p95=-1s", "p100=1s"])
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="say a quantile and its limit"):
        parse(text)
