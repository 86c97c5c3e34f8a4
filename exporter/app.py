"""The composition root: settings become a running exporter. Here and nowhere else do the objects meet."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp.web import Application

from exporter.clock import SystemClock
from exporter.domain.errors import ConfigError, SourceError
from exporter.domain.settings import Settings, WebSettings
from exporter.domain.snapshot import SettledRequest, Snapshot
from exporter.engine import Engine
from exporter.feeds.opening import Feeds, ProxiedServer, open_feeds
from exporter.listening import url_of
from exporter.metering.opening import announce, devices_of, open_pipeline, open_sources, power_feeds
from exporter.pipeline.foretelling import Ended
from exporter.power.select import Chosen, Opened
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
async def exporting(  # noqa: PLR0913 - the composition root: each is a part that somebody brings along
    settings: Settings,
    clock: SystemClock | None = None,
    tape: "Tape | None" = None,
    *,
    open_power: OpenPower | None = None,
    on_settled: OnSettled | None = None,
    look_again: bool = False,
) -> AsyncIterator[Exporter]:
    """Run an exporter for as long as the context lasts.

    Args:
        settings: all of them.
        clock: its clock; this machine's where there is none.
        tape: what the pipeline is told goes on it, to be closed by whoever made it.
        open_power: opens other power sources than the configured ones, such as simulated ones.
        on_settled: told every request that settles, when it does.
        look_again: whether a source that `auto` passed over is tried again, and used once it works.

    Raises:
        ExporterError: it cannot start with these settings on this machine; says what to do.
    """
    clock = clock or SystemClock()
    feeds = open_feeds(settings.servers)
    try:
        chosen = Chosen(tuple(open_power(settings, clock))) if open_power else open_sources(settings, clock)
    except BaseException:
        feeds.close()
        raise
    engine = assemble(settings, chosen.opened, clock, tape, feeds)
    engine.on_settled = on_settled or engine.on_settled
    engine.passed_over = {name: why.kind for name, why in chosen.passed_over.items()}
    async with AsyncExitStack() as stack:
        try:
            engine.resume()
            url = await _listen(settings, engine, feeds, clock, stack)
        except BaseException:
            engine.close()
            raise
        running = asyncio.create_task(engine.run())
        stack.push_async_callback(_stopped, engine, running)
        if look_again and chosen.passed_over:
            stack.push_async_callback(_cancelled, _look_again(settings, clock, engine, chosen.passed_over))
        await _ask_servers(settings, engine, clock, stack)
        if settings.components.results:
            await _serve_dissections(settings.components.results, engine, stack)
        for one in feeds.proxied:
            await _open_gateway(one, settings, engine, clock, stack)
        yield Exporter(engine, url, running)


async def _stopped(engine: Engine, running: "asyncio.Task[None]") -> None:
    engine.stop()
    await running


def _look_again(
    settings: Settings, clock: SystemClock, engine: Engine, passed_over: Mapping[str, SourceError]
) -> "asyncio.Task[None]":
    from exporter.metering.changeover import Changeover  # noqa: PLC0415 - most find at once what they look for

    return asyncio.create_task(Changeover(settings, clock, engine, passed_over).run())


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


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


def assemble(
    settings: Settings,
    opened: Sequence[Opened],
    clock: SystemClock,
    tape: "Tape | None" = None,
    feeds: Feeds | None = None,
) -> Engine:
    """Put the parts together around open power sources and feeds; they are closed if that fails."""
    undo = ExitStack()
    try:
        return _assemble(settings, opened, clock, undo, tape=tape, feeds=feeds)
    except BaseException:
        undo.close()
        raise


def _assemble(  # noqa: PLR0913 - it is where everything meets
    settings: Settings,
    opened: Sequence[Opened],
    clock: SystemClock,
    undo: ExitStack,
    *,
    tape: "Tape | None",
    feeds: Feeds | None,
) -> Engine:
    for each in opened:
        undo.callback(each.source.close)
    feeds = feeds or open_feeds(settings.servers)
    undo.callback(feeds.close)
    store = _open_store(settings)
    if store is not None:
        undo.callback(store.close)
    pipeline = open_pipeline(settings, devices_of(opened), clock.now(), tape)
    power = power_feeds(settings, opened, clock)
    for each in opened:
        announce(each)
    engine = Engine(pipeline, power, feeds.feeds, clock, store)
    if tape is not None:
        engine.recording_failures = lambda: tape.failures
    return engine


def _open_store(settings: Settings) -> StateStore | None:
    store = StateStore.open(Path(settings.state_dir)) if settings.state_dir is not None else None
    if store is not None and store.notice is not None:
        log.warning("%s", store.notice)
    return store
