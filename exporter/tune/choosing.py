"""Which servers and devices a tuning is about, by what the exporter's page says. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from exporter.domain.errors import TuneError, UsageError
from exporter.tune.page import Page, Subject


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen. `cautions`: what a user should know of it, a sentence each."""

    subject: Subject
    cautions: Sequence[str]


def choose(page: Page, servers: Sequence[str], uuids: Sequence[str]) -> Choice:
    """The servers that were named, or those that work on the devices that were, or the only ones there are.

    Args:
        page: of the exporter.
        servers: named by the user; empty: not named.
        uuids: of the devices that were named; empty: those of the servers.

    Raises:
        UsageError: the choice is the user's to make.
        TuneError: what was named is not metered there.
    """
    _expect_known(page, servers, uuids)
    on = {name: frozenset(_gpus(page, name)) for name in page.servers if not servers or name in servers}
    chosen = {name: gpus for name, gpus in on.items() if gpus and (not uuids or gpus & set(uuids))}
    if not chosen:
        raise TuneError("by the exporter's page no server works on a GPU that it meters: look at its `servers`")
    if not uuids and len(set(chosen.values())) > 1:
        raise UsageError(f"servers work on different GPUs: say which one by --server: {', '.join(sorted(chosen))}")
    devices = frozenset(uuids) or frozenset().union(*chosen.values())
    return Choice(Subject(frozenset(chosen), devices), tuple(_cautions(page, chosen, devices)))


def expect_measured(page: Page, subject: Subject, methods: frozenset[str]) -> None:
    """Refuse energy that nobody measured.

    Args:
        page: of the exporter.
        subject: whose energy.
        methods: of the requests, so far as is known.

    Raises:
        TuneError: it is estimated or simulated.
    """
    other = {page.devices[uuid].method for uuid in subject.uuids if uuid in page.devices} | methods
    if other - {"measured"}:
        said = ", ".join(sorted(other - {"measured"}))
        raise TuneError(
            f"the exporter's energy is {said}, not measured: what saves by it may save nothing. --allow-estimated "
            "tunes by it all the same"
        )


def _expect_known(page: Page, servers: Sequence[str], uuids: Sequence[str]) -> None:
    for name in servers:
        if name not in page.servers:
            raise UsageError(f"--server {name}: the exporter knows {', '.join(sorted(page.servers)) or 'no server'}")
    for uuid in uuids:
        if uuid not in page.devices:
            known = ", ".join(sorted(f"{one.name} ({uuid})" for uuid, one in page.devices.items())) or "nothing"
            raise TuneError(
                f"the exporter does not meter {uuid}; it meters {known}: run this on its machine, or name the "
                "exporter of this one by --exporter"
            )


def _gpus(page: Page, server: str) -> Iterator[str]:
    for uuid in page.servers[server].uuids:
        if uuid in page.devices and page.devices[uuid].kind == "gpu":
            yield uuid


def _cautions(page: Page, chosen: dict[str, frozenset[str]], devices: frozenset[str]) -> Iterator[str]:
    for name, gpus in sorted(chosen.items()):
        left = sorted(page.devices[uuid].name for uuid in gpus - devices)
        if left:
            yield f"{name} also works on {', '.join(left)}, not set here: GPUs that share a model wait for the slowest."
    for name, server in sorted(page.servers.items()):
        if name not in chosen and server.uuids & devices:
            yield f"{name} shares the GPU and is not counted, but feels what is set."
