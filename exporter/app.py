"""The composition root: settings become a running exporter. Here and nowhere else do the objects meet."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp.web import Application

from exporter.clock import SystemClock
from exporter.config.calibrations import calibrations_for
from exporter.domain.errors import ConfigError, ExporterError
from exporter.domain.readings import Device
from exporter.domain.settings import Settings, WebSettings
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.domain.units import Instant
from exporter.engine import Engine, PowerFeed
from exporter.feeds.opening import Feeds, ProxiedServer, open_feeds
from exporter.listening import url_of
from exporter.pipeline.foretelling import Ended
from exporter.pipeline.pipeline import Pipeline
from exporter.pipeline.server import serves
from exporter.power.sampler import Sampler
from exporter.power.select import Opened, open_chosen
from exporter.proxy.calibration.calibration import Calibration
from exporter.server import build, serve
from exporter.server.intake import Intakes
from exporter.state import StateStore

if TYPE_CHECKING:
    from ssl import SSLContext

    from exporter.recording.tape import Tape

log = logging.getLogger(__name__)

OpenPower = Callable[[Settings, SystemClock], Sequence[Opened]]
OnSettled = Callable[[Sequence[SettledRequest]], None]


class Exporter:
    """A running exporter. `url`: where it answers, without a trailing slash."""

    def __init__(self, engine: Engine, url: str, running: "asyncio.Task[None]") -> None:
        self.url = url
        self._engine = engine
        self._running = running

    def snapshot(self) -> Snapshot:
        """The books as published."""
        return self._engine.snapshot

    async def finish(self) -> Snapshot:
        """Stop reading, settle every request, close every slice: the final books of a story that is over."""
        self._engine.stop()
        await self._running
        return self._engine.finish()


@asynccontextmanager
async def exporting(
    settings: Settings,
    clock: SystemClock | None = None,
    tape: "Tape | None" = None,
    *,
    open_power: OpenPower | None = None,
    on_settled: OnSettled | None = None,
) -> AsyncIterator[Exporter]:
    """Run an exporter for as long as the context lasts.

    Args:
        settings: all of them.
        clock: its clock; this machine's where there is none.
        tape: what the pipeline is told goes on it, to be closed by whoever made it.
        open_power: opens other power sources than the configured ones, such as simulated ones.
        on_settled: told every request that settles, when it does.

    Raises:
        ExporterError: it cannot start with these settings on this machine; says what to do.
    """
    clock = clock or SystemClock()
    feeds = open_feeds(settings.servers)
    engine = assemble(settings, (open_power or open_sources)(settings, clock), clock, tape, feeds)
    engine.on_settled = on_settled or engine.on_settled
    async with AsyncExitStack() as stack:
        try:
            engine.resume()
            url = await _listen(settings, engine, feeds, clock, stack)
        except ExporterError:
            engine.close()
            raise
        running = asyncio.create_task(engine.run())
        stack.push_async_callback(_stopped, engine, running)
        await _ask_servers(settings, engine, clock, stack)
        if settings.components.results:
            await _serve_dissections(settings.components.results, engine, stack)
        for one in feeds.proxied:
            await _open_gateway(one, settings, engine, clock, stack)
        yield Exporter(engine, url, running)


async def _stopped(engine: Engine, running: "asyncio.Task[None]") -> None:
    engine.stop()
    await running


async def _listen(settings: Settings, engine: Engine, feeds: Feeds, clock: SystemClock, stack: AsyncExitStack) -> str:
    """Answer scrapers and whoever tells of requests; returns where."""
    api = settings.web.api
    intakes = Intakes(clock.now, clock.wall_offset, feeds.traced, feeds.pushed)
    pages = build(engine.published, engine.ready, engine.fault, engine.calibrations, intakes, api=api)
    tls = _guard(pages, settings.web, engine)
    runner = await serve(pages, settings.listen, tls)
    stack.push_async_callback(runner.cleanup)
    return url_of(runner, "http" if tls is None else "https")


def _guard(pages: Application, web: WebSettings, engine: Engine) -> "SSLContext | None":
    """Let in only those whom the web configuration file lets in; returns what to listen with."""
    if web.config_file is None:
        return None
    from exporter.server.access import Doors, InForce  # noqa: PLC0415 - most are open to all who reach them

    opened = web.probes == "open"
    try:
        in_force = InForce(Path(web.config_file), must_show=not opened)
    except ConfigError as error:
        raise ConfigError("web.config_file", str(error)) from error
    doors = Doors(in_force, probes_open=opened)
    doors.guard(pages)
    engine.web = doors.view
    return in_force.tls()


async def _ask_servers(settings: Settings, engine: Engine, clock: SystemClock, stack: AsyncExitStack) -> None:
    """Ask those servers for their own metrics of whom it is known where they are."""
    asked = {one.name: one.metrics_url for one in settings.servers if one.metrics_url is not None}
    if asked:
        from exporter.feeds.gauges import Poller, polling  # noqa: PLC0415 - most servers are not asked

        engine.gauges = [Poller(name, url, clock) for name, url in asked.items()]
        await stack.enter_async_context(polling(engine.gauges))


async def _open_gateway(
    one: ProxiedServer, settings: Settings, engine: Engine, clock: SystemClock, stack: AsyncExitStack
) -> None:
    """Take requests for a server. It ends before the engine does: what it cuts is told in time."""
    from exporter.gateway import open_gateway  # noqa: PLC0415 - most servers are asked directly

    gateway = await open_gateway(
        one.server,
        one.options,
        settings.labels.tenant,
        one.inbox,
        clock.now,
        fault=engine.fault,
        estimate=lambda server, model, seconds, prompt, output, _first: engine.pipeline.servers[server].foretell(
            Ended(model, seconds, prompt, output)
        ),
    )
    stack.push_async_callback(gateway.close)
    log.info(
        "requests for server %s are taken at %s and passed on to %s", one.server, gateway.url, one.options.upstream
    )


async def _serve_dissections(patterns: Sequence[str], engine: Engine, stack: AsyncExitStack) -> None:
    from exporter.dissections.following import Results, following  # noqa: PLC0415 - few have result files

    results = Results(patterns)
    engine.dissections = results.view
    await stack.enter_async_context(following(results, engine.fault))


def open_sources(settings: Settings, clock: SystemClock) -> list[Opened]:
    """Open the configured power sources and check that the servers find their devices among them."""
    calibrated = bool(settings.servers) and all(server.calibration is not None for server in settings.servers)
    chosen = open_chosen(settings.power, clock.now, calibrated=calibrated)
    if chosen.nothing:
        log.info("nothing is metered: %s", chosen.nothing)
    try:
        _check_devices(settings, [device for each in chosen.opened for device in each.source.devices])
    except Exception:
        for each in chosen.opened:
            each.source.close()
        raise
    return list(chosen.opened)


def calibrations(settings: Settings, devices: Sequence[Device]) -> dict[str, Calibration]:
    """What the servers are estimated with that none of these devices serves. Says who is estimated, and who cannot be.

    Raises:
        ConfigError: a calibration cannot be used.
    """
    estimated = [one.name for one in settings.servers if not any(serves(one, device) for device in devices)]
    chosen = calibrations_for(settings, estimated)
    for name in estimated:
        if name in chosen:
            log.info("server %s is not metered: its energy is ESTIMATED from %s", name, chosen[name].name)
        else:
            log.warning("server %s is not metered and has no calibration: requests are counted without energy", name)
    return chosen


def assemble(
    settings: Settings,
    opened: Sequence[Opened],
    clock: SystemClock,
    tape: "Tape | None" = None,
    feeds: Feeds | None = None,
) -> Engine:
    """Put the parts together around open power sources and feeds."""
    store = StateStore.open(Path(settings.state_dir)) if settings.state_dir is not None else None
    if store is not None and store.notice is not None:
        log.warning("%s", store.notice)
    devices = [device for each in opened for device in each.source.devices]
    pipeline = _pipeline(settings, devices, clock.now(), tape)
    power = [
        PowerFeed(each.name, Sampler(each.source, settings.power.interval_seconds, clock), each.refusals)
        for each in opened
    ]
    feeds = feeds or open_feeds(settings.servers)
    for each in opened:
        _announce(each)
    engine = Engine(pipeline, power, feeds.feeds, clock, store)
    if tape is not None:
        engine.recording_failures = lambda: tape.failures
    return engine


def _pipeline(settings: Settings, devices: Sequence[Device], since: Instant, tape: "Tape | None") -> Pipeline:
    chosen = calibrations(settings, devices)
    if tape is None:
        return Pipeline(settings, devices, since, calibrations=chosen)
    from exporter.recording.recorder import RecordedPipeline  # noqa: PLC0415 - few are recorded

    return RecordedPipeline(settings, devices, since, calibrations=chosen, tape=tape)


def _check_devices(settings: Settings, devices: Sequence[Device]) -> None:
    names = [device.name for device in devices]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise ConfigError("power.source", f"two sources both meter {', '.join(sorted(doubled))}: leave one out")
    for index, server in enumerate(settings.servers):
        if devices and server.calibration is None and not any(serves(server, device) for device in devices):
            known = ", ".join(f"{device.name} {device.uuid}".strip() for device in devices)
            raise ConfigError(f"servers[{index}].gpus", f"{list(server.gpus)} names none of the devices here: {known}")


def _announce(opened: Opened) -> None:
    for name, why in opened.refusals.items():
        log.info("power source %s is not used: %s", name, why)
    for device in opened.source.devices:
        log.info("metering %s (%s) by %s: %s", device.name, device.model or device.kind, opened.name, _how(device))


def _how(device: Device) -> str:
    if device.method == "estimated":
        return "ESTIMATED, no sensor"
    if device.method == "simulated":
        return "SIMULATED, no hardware"
    return "energy counter" if device.has_counter else "power"
