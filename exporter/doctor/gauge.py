"""Whether a server's own metrics tell how many requests run: by asking once, just as `run` does."""

import asyncio

from exporter.doctor.finding import Finding
from exporter.feeds import families
from exporter.feeds.gauges import GaugeError, ask, session


def examine(url: str) -> Finding:
    """Ask the server."""
    try:
        told = asyncio.run(_ask(url))
    except GaugeError as error:
        fix = "start the server, or correct metrics_url; without it requests that nobody logged are taken for others"
        return Finding("Servers", "metrics_url", "warn", str(error), fix)
    said = ", ".join(
        f"{value:g} {words}"
        for value, words in (
            (told.running, "requests running"),
            (told.waiting, "waiting"),
            (told.prompt_tokens, "prompt tokens"),
            (told.output_tokens, "output tokens"),
        )
        if value is not None
    )
    if told.running is None:
        text = f"{url} ({told.server}) tells {said}, but not how many run: it checks nothing"
        return Finding("Servers", "metrics_url", "note", text)
    return Finding("Servers", "metrics_url", "ok", f"{url} ({told.server}) tells {said}")


async def _ask(url: str) -> families.Told:
    async with session() as asked:
        return await ask(asked, url)
