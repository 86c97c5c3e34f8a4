"""Changing over: `auto` fell back, and the source it would rather have works later.

Theory of operation. In a cluster a sidecar often starts before the GPUs' driver does. `auto` then takes what there is,
which may be an estimate, and nobody would tell it that the driver has come. So what it passed over is tried again, at
growing intervals. A try is no more than to open the source, which fails at once where there is no driver. It runs in a
thread that nobody waits for, since a call into a driver may hang; while it does, no other is begun.

A source that opens is kept open, so that no second opening can fail, and its devices are held against the settings as
at a start. Then the engine goes on with them (`Engine.change_over`): the books of the old devices are closed, all else
is handed to a new pipeline as over a restart. But nothing is restarted: logs stay open where they are, ports too, and a
request that is passing through the gateway never notices.

Only sources that can come later are tried: a driver is loaded at some time after the boot; the rights to read RAPL are
either given or not. A source that is named in the settings is never changed.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from threading import Thread

from exporter.clock import SystemClock
from exporter.domain.errors import ExporterError, SourceError
from exporter.domain.settings import Settings
from exporter.engine import Engine, PowerFeed
from exporter.metering.opening import announce, check_devices, open_pipeline, power_feeds
from exporter.power.select import SOURCES, Factory, Opened, first_that_works

log = logging.getLogger(__name__)

MAY_COME_LATER = ("nvml",)

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 60.0
LASTING_FACTOR = 12.0
"""Where every refusal is a lasting one, looks are so much further apart: from a minute to every twelve."""

LASTING = frozenset(
    {
        "configuration",
        "function_not_found",
        "library_not_found",
        "library_version_mismatch",
        "no_permission",
        "no_such_gpu",
        "not_supported",
        "unusable",
    }
)
"""Kinds of refusals that hardly pass while a process runs: its container would have to be made anew."""

_HANGS_SECONDS = 30.0
_POLL_SECONDS = 0.1

Refusals = Mapping[str, SourceError]
Tried = tuple[Opened | None, dict[str, SourceError]]
"""What opened, if anything, and what did not."""


def seconds_until_next(looks: int, refusals: Iterable[SourceError]) -> float:
    """How long to wait after so many looks, the latest of which was refused like this."""
    seconds = min(FIRST_SECONDS * 2.0 ** min(looks, 16), LONGEST_SECONDS)
    return LASTING_FACTOR * seconds if all(one.kind in LASTING for one in refusals) else seconds


def may_come_later(passed_over: Refusals) -> dict[str, SourceError]:
    """Those sources among them that are worth looking for again."""
    return {name: why for name, why in passed_over.items() if name in MAY_COME_LATER}


class Changeover:
    """Looks for better power sources until one works, and lets the engine go on with it.

    Args:
        settings: all of them.
        clock: the exporter's clock.
        engine: runs; its fallback is kept up to date.
        passed_over: what `auto` would rather have taken, each with why it did not work.
        sources: what there is to choose from.
    """

    def __init__(
        self,
        settings: Settings,
        clock: SystemClock,
        engine: Engine,
        passed_over: Refusals,
        *,
        sources: Mapping[str, Factory] = SOURCES,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._engine = engine
        self._passed_over = dict(passed_over)
        self._sources = sources

    async def run(self) -> None:
        """Look until something better works and is used. A bug of ours ends the looking, not the metering."""
        try:
            await self._run()
        except Exception:
            self._engine.fault("metering")
            log.exception("a bug in changing over; metering goes on")

    async def _run(self) -> None:
        looks = 0
        while wanted := may_come_later(self._passed_over):
            await asyncio.sleep(self._clock.real(seconds_until_next(looks, wanted.values())))
            looks += 1
            found, refusals = await self._look(list(wanted))
            self._note(refusals)
            if found is not None and await self._use(found):
                return

    async def _look(self, names: list[str]) -> Tried:
        """Try these sources, in a thread that ends with the process if the driver hangs."""
        look: Future[Tried] = Future()

        def try_them() -> None:
            try:
                look.set_result(first_that_works(names, self._settings.power, self._clock.now, self._sources))
            except Exception as bug:  # noqa: BLE001 - raised again by whoever waits
                look.set_exception(bug)

        Thread(target=try_them, name="power-look", daemon=True).start()
        try:
            await self._ended(look, names)
        except asyncio.CancelledError:
            look.add_done_callback(_close)
            raise
        return look.result()

    async def _ended(self, look: "Future[Tried]", names: list[str]) -> None:
        began, told = self._clock.now(), False
        while not look.done():
            await asyncio.sleep(_POLL_SECONDS)
            if not told and self._clock.now() - began > _HANGS_SECONDS:
                told = True
                log.warning("power source %s was tried again and does not answer; it is waited for", ", ".join(names))

    async def _use(self, found: Opened) -> bool:
        """Go on with this source; returns whether that could be."""
        power = power_feeds(self._settings, [found], self._clock)
        try:
            check_devices(self._settings, found.source.devices)
            pipeline = open_pipeline(self._settings, found.source.devices, self._clock.now(), None)
            before = self._engine.change_over(pipeline, power)
        except Exception as error:
            await asyncio.to_thread(_stop, power)
            if not isinstance(error, ExporterError):
                raise
            self._note({found.name: SourceError(f"it works now, but {error}", kind="configuration")})
            return False
        log.info(
            "changed over from power source %s to %s, which works now; it did not at first: %s",
            ", ".join(feed.name for feed in before) or "none",
            found.name,
            self._passed_over[found.name],
        )
        announce(found)
        self._engine.passed_over = {name: why.kind for name, why in found.refusals.items()}
        await asyncio.to_thread(_stop, before)
        return True

    def _note(self, refusals: Refusals) -> None:
        """Remember why not; what has become another reason is said."""
        for name, why in refusals.items():
            if str(why) != str(self._passed_over[name]):
                log.info("power source %s is still not used: %s", name, why)
            self._passed_over[name] = why
        self._engine.passed_over = {name: why.kind for name, why in self._passed_over.items()}


def _close(look: "Future[Tried]") -> None:
    """Close what was found when nobody wants it any more."""
    found = None if look.exception() else look.result()[0]
    if found is not None:
        found.source.close()


def _stop(power: Sequence[PowerFeed]) -> None:
    """Stop them and close their sources; takes as long as a call into a driver does."""
    for feed in power:
        feed.sampler.stop()
