"""Which of a page's boards are metered."""

from collections.abc import Collection, Sequence
from typing import Literal

from exporter.domain.errors import SourceError
from exporter.domain.settings import DcgmSettings
from exporter.power.boards import Found, select
from exporter.power.dcgm.page import Board

_MAPPING = (
    "dcgm-exporter tells pods with --kubernetes (DCGM_EXPORTER_KUBERNETES=true) and the kubelet's pod-resources mounted"
)


def choose(
    there: Collection[Board], settings: DcgmSettings, gpus: Literal["all"] | Sequence[str], url: str
) -> list[Board]:
    """The boards that are meant, by index.

    Raises:
        SourceError: there is none, or it is not clear of which host they are; says what would help.
    """
    of_host = _of_one_host(there, settings.host, url)
    _refuse_twins(of_host, url)
    mine = _of_pod(of_host, settings)
    found = [Found(board.index, board.uuid, board.bus, board) for board in sorted(mine, key=lambda one: one.index)]
    return [one.handle for one in select(found, gpus)]


def _of_one_host(there: Collection[Board], host: str | None, url: str) -> list[Board]:
    hosts = sorted({board.host for board in there})
    if host is not None:
        chosen = [board for board in there if board.host == host]
        if not chosen:
            raise SourceError(
                f"{url} tells of no GPU of host {host!r}", f"power.dcgm.host: it tells of {_named(hosts)}"
            )
        return chosen
    if len(hosts) > 1:
        raise SourceError(f"{url} tells of GPUs of several hosts", f"name one in power.dcgm.host: {_named(hosts)}")
    return list(there)


def _named(hosts: Sequence[str]) -> str:
    return ", ".join(host or "one without a name" for host in hosts)


def _refuse_twins(boards: Collection[Board], url: str) -> None:
    """Two boards of the same number are of two hosts, whose names were left out of the page."""
    indices = [board.index for board in boards]
    twice = sorted({index for index in indices if indices.count(index) > 1})
    if twice:
        raise SourceError(
            f"{url} tells of several GPUs with number {twice[0]}, of several hosts it seems",
            "ask one host's dcgm-exporter, or let it name its host (leave out --no-hostname)",
        )


def _of_pod(boards: list[Board], settings: DcgmSettings) -> list[Board]:
    if settings.pod is None:
        return boards
    namespaces = {settings.namespace} if settings.namespace else {space for board in boards for space, _ in board.pods}
    mine = [board for board in boards if any((space, settings.pod) in board.pods for space in namespaces)]
    if not mine:
        pods = sorted({f"{space}/{pod}" for board in boards for space, pod in board.pods})
        seen = f"it tells of {', '.join(pods)}" if pods else f"it tells of no pod at all: {_MAPPING}"
        raise SourceError(f"no GPU on the page belongs to pod {settings.pod!r}", seen)
    return mine
