import os
import signal
import threading

import pytest

from exporter.tune.signals import SIGNALS, Deferral, signals_met


def send(number: int) -> None:
    """To ourselves; the handler has run when this returns."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_program_with_its_code(number: int, code: int) -> None:
    with pytest.raises(SystemExit) as ended, signals_met():
        send(number)
    assert ended.value.code == code


def test_an_interrupt_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), signals_met():
        send(signal.SIGINT)


def test_in_the_midst_of_a_change_signals_wait_for_its_end() -> None:
    done = []

    def change(deferral: Deferral) -> None:
        with deferral.deferred():
            with deferral.deferred():
                send(signal.SIGTERM)
            done.append("all of it")
        done.append("not this")

    with signals_met() as deferral, pytest.raises(SystemExit):
        change(deferral)
    assert done == ["all of it"]


def test_a_signal_is_not_forgotten_over_another_failure() -> None:
    deferral = Deferral()

    def fail() -> None:
        with deferral.deferred():
            deferral.receive(signal.SIGTERM)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        fail()
    with pytest.raises(SystemExit), deferral.deferred():
        pass


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with signals_met():
        assert all(signal.getsignal(number) != was for number, was in zip(SIGNALS, before, strict=True))
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("ignored", SIGNALS)
def test_what_we_were_started_to_ignore_stays_ignored(ignored: int) -> None:
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        with signals_met() as outer, signals_met() as inner:
            send(ignored)
            assert inner is outer
        assert signal.getsignal(ignored) is signal.SIG_IGN
    finally:
        signal.signal(ignored, before)


def test_guards_within_guards_do_not_interrupt_each_other() -> None:
    done = []

    def change(outer: Deferral) -> None:
        with outer.deferred():
            send(signal.SIGTERM)
            done.append("all of it")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit), signals_met() as outer, signals_met():
        change(outer)
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_another_thread_changes_nothing() -> None:
    seen = []

    def meet() -> None:
        with signals_met():
            seen.append([signal.getsignal(number) for number in SIGNALS])

    before = [signal.getsignal(number) for number in SIGNALS]
    beside = threading.Thread(target=meet)
    beside.start()
    beside.join()
    assert seen == [before]
