"""Whether the port can be had."""

import socket

from exporter.doctor.listening import examine
from exporter.domain.settings import ListenAddress


def test_a_free_port_is_taken_only_for_a_moment() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for _ in range(2):
        (finding,) = examine(ListenAddress("0.0.0.0", port))  # noqa: S104 - to be free everywhere
        assert finding.verdict == "ok"


def test_a_port_in_use_is_a_problem_and_the_setting_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        (finding,) = examine(ListenAddress("127.0.0.1", other.getsockname()[1]))
    assert finding.verdict == "fail"
    assert "--listen HOST:PORT" in finding.fix


def test_an_address_of_another_machine_is_a_problem() -> None:
    (finding,) = examine(ListenAddress("203.0.113.1", 0))
    assert finding.verdict == "fail"


def test_loopback_is_said_to_be_out_of_others_reach() -> None:
    (finding,) = examine(ListenAddress("127.0.0.1", 0))
    assert finding.verdict == "note"
