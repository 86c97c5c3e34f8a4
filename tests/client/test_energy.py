"""What a window used: asked for until it has settled, added up over its pieces, or said to be unknown and why."""

import pytest

from exporter.client import EnergyClient, Window
from tests.client.listener import Hand, Listener, receipt
from tests.e2e.web import free_port


def closed(client: EnergyClient, name: str = "step") -> Window:
    with client.window(name) as one:
        pass
    return one


def nested(client: EnergyClient, hand: Hand, steps: int) -> Window:
    """A window with others inside, and a moment of its own before each."""
    with client.window("epoch") as epoch:
        for _ in range(steps):
            hand.move(1.0)
            with client.window("step"):
                hand.move(1.0)
    return epoch


def test_the_energy_is_the_receipts(listener: Listener, client: EnergyClient) -> None:
    one = closed(client, "run 1/step?7%")
    listener.receipts[one.id] = receipt(one.id, 12.5, concurrency=3.0, late_joules=0.5)
    energy = one.energy()
    assert energy is not None
    assert energy._asdict() == {
        "joules": 12.5,
        "own_joules": 12.5,
        "method": "measured",
        "joules_by_device": {"gpu0": 12.5},
        "seconds": 2.0,
        "concurrency": 3.0,
        "late_joules": 0.5,
        "interval": None,
    }
    assert one.unknown == ""


def test_it_is_asked_for_once_it_has_been_told(listener: Listener, client: EnergyClient) -> None:
    one = closed(client)
    listener.receipts[one.id] = receipt(one.id)
    one.energy()
    assert [path.partition("/step")[0] for path in listener.paths] == ["/api/v1/events", "/api/v1/requests"]
    one.energy()
    assert len(listener.paths) == 2, "what is known is not asked again"


def test_it_is_asked_for_again_until_it_has_settled(
    listener: Listener, client: EnergyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = closed(client)

    def settle(_: float) -> None:
        listener.receipts[one.id] = receipt(one.id)

    monkeypatch.setattr("exporter.client.windows.time.sleep", settle)
    assert one.energy() is not None


async def test_a_task_may_wait_for_it(listener: Listener, client: EnergyClient) -> None:
    one = closed(client)
    listener.receipts[one.id] = receipt(one.id, 3.0, method="estimated")
    energy = await one.energy_async()
    assert energy is not None
    assert (energy.joules, energy.method) == (3.0, "estimated")


def test_an_estimates_interval_is_told(listener: Listener, client: EnergyClient) -> None:
    one = closed(client)
    interval = {"low_joules": 1.0, "high_joules": 9.0, "probability": 0.9}
    listener.receipts[one.id] = receipt(one.id, 3.0, method="time_proxy", interval=interval)
    energy = one.energy()
    assert energy is not None
    assert (energy.method, energy.interval) == ("time_proxy", (1.0, 9.0))


@pytest.mark.parametrize("steps", [1, 5])
def test_a_window_with_others_inside_is_their_sum_and_its_own(
    listener: Listener, client: EnergyClient, hand: Hand, steps: int
) -> None:
    epoch = nested(client, hand, steps)
    for piece in epoch.pieces:
        listener.receipts[piece.id] = receipt(piece.id, 1.0, duration_seconds=1.0)
    for inner in epoch.inner:
        listener.receipts[inner.id] = receipt(inner.id, 10.0, method="estimated", concurrency=3.0, duration_seconds=3.0)
    energy = epoch.energy()
    assert energy is not None
    own = steps + 1.0  # its end is a piece too
    assert (energy.joules, energy.own_joules, energy.method) == (10.0 * steps + own, own, "estimated")
    assert energy.joules_by_device == {"gpu0": energy.joules}
    assert energy.seconds == 3.0 * steps + own
    assert energy.concurrency == pytest.approx((3.0 * 3.0 * steps + own) / (3.0 * steps + own))
    gets = [path for path in listener.paths if "/requests" in path]
    assert len(gets) == (1 if steps == 5 else 3), "many are asked for at once"


@pytest.mark.parametrize(
    ("methods", "worst"),
    [
        (("measured", "estimated"), "estimated"),
        (("time_proxy", "estimated"), "time_proxy"),
        (("simulated", "time_proxy"), "simulated"),
        (("estimated", "recorded"), "recorded"),
    ],
)
def test_energy_is_known_no_better_than_its_worst_part(
    listener: Listener, client: EnergyClient, hand: Hand, methods: tuple[str, str], worst: str
) -> None:
    epoch = nested(client, hand, 1)
    parts = [*epoch.pieces, *epoch.inner[0].pieces]
    for number, piece in enumerate(parts):
        listener.receipts[piece.id] = receipt(piece.id, 1.0, method=methods[number % 2])
    energy = epoch.energy()
    assert energy is not None
    assert energy.method == worst


# --- what is not known -----------------------------------------------------------------------------------------------


def test_an_open_window_has_no_energy_yet(client: EnergyClient) -> None:
    with client.window("outer") as outer:
        assert outer.energy() is None
        assert outer.unknown == "it is still open"
        inner = client.window("inner").begin_inside()
    assert outer.energy() is None
    assert outer.unknown == "'inner' inside it is still open"
    inner.end()


def test_one_that_never_settles_is_waited_for_no_longer_than_said(client: EnergyClient) -> None:
    one = closed(client)
    assert one.energy(0.05) is None
    assert one.unknown.startswith(f"{one.id} is not among the requests that settled last")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, "`web.api` is `off`\n"), "the exporter answered 404: `web.api` is `off`"),
        ((410, "no"), "the exporter answered 410: no"),
        ((200, {"hello": 1}), "what was answered is no receipt: is there another program at this address?"),
        ((200, receipt("x", None)), "nothing meters this server and it has no calibration"),
    ],
)
def test_where_asking_is_of_no_use_it_is_not_waited_for(
    listener: Listener, client: EnergyClient, answer: tuple[int, object], why: str
) -> None:
    listener.others = answer
    one = closed(client)
    assert one.energy(60.0) is None
    assert one.unknown == why


def test_without_an_exporter_nothing_is_known() -> None:
    client = EnergyClient(f"http://127.0.0.1:{free_port()}")
    one = closed(client)
    assert one.energy(0.2) is None
    assert one.unknown.startswith("the exporter does not answer: ConnectionRefusedError")
    client.close(0.0)
    assert one.energy(0.2) is None
    assert "was not told: " in one.unknown


def test_who_asks_for_many_windows_waits_once_for_an_exporter_that_is_away() -> None:
    client = EnergyClient(f"http://127.0.0.1:{free_port()}")
    windows = [closed(client) for _ in range(1000)]
    windows[0].energy(0.2)
    waited = []
    client.flush = lambda timeout=5.0: bool(waited.append(timeout))  # type: ignore[method-assign, func-returns-value]
    assert [one.energy(20.0) for one in windows] == [None] * 1000
    assert sum(waited) < 2.0
    assert {one.unknown.partition(": ")[0] for one in windows} == {"the exporter does not answer"}
    client.close(0.0)


def test_zero_joules_are_known(listener: Listener, client: EnergyClient) -> None:
    one = closed(client)
    listener.receipts[one.id] = receipt(one.id, 0.0)
    energy = one.energy()
    assert energy is not None
    assert energy.joules == 0.0
