"""Whether each server's log is there, can be read, and tells what is needed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from exporter.config.checks import reads_standard_input
from exporter.doctor import cluster, gauge, told, words
from exporter.doctor.clues import beside, clock_finding
from exporter.doctor.finding import Finding, Verdict
from exporter.doctor.machine import is_container
from exporter.doctor.sample import SAMPLE_BYTES, Sample, Understanding, guesses, take, understand
from exporter.domain.errors import ConfigError
from exporter.domain.readings import Device
from exporter.domain.settings import ListenAddress, RequestSettings, ServerSettings
from exporter.domain.units import Instant
from exporter.feeds.opening import is_posted
from exporter.pipeline.server import serves
from exporter.requests.arrival.naming import advice_on, look_up, names_of, refusal_of
from exporter.requests.registry import READERS, SOURCES

_OLD_SECONDS = 86400.0
_SHOWN = 5
_CONTAINER = "this is a container, which sees only what is mounted into it: mount the log's directory"


def examine(
    servers: Sequence[ServerSettings],
    devices: Sequence[Device],
    now: Instant,
    listen: ListenAddress,
    scheme: str = "http",
) -> tuple[Finding, ...]:
    """Look at every server. `listen`: where this exporter serves, by `http` or `https`."""
    if not servers:
        return (_none(),)
    said: set[str] = set()
    return tuple(
        finding
        for server in servers
        for requests in server.requests
        for finding in (
            *_heading(server.name, requests, said),
            *(_whole(server, devices) if requests is server.requests[0] else ()),
            *(told.examine(requests, listen, scheme) if is_posted(requests) else _log(requests, now)),
        )
    )


def _none() -> Finding:
    text = "none is configured: power will be metered, but no request"
    fix = "add `--source KIND --log PATH`, or a configuration with `servers:`; KIND is one of " + ", ".join(SOURCES)
    return Finding("Servers", "servers", "warn", text, fix)


def _heading(server: str, requests: RequestSettings, said: set[str]) -> Iterator[Finding]:
    """What such a source can tell. `said`: those of which that has been said; once is enough."""
    kind = SOURCES[requests.source]
    what = kind.name if is_posted(requests) else f"a log of {kind.name}"
    if kind.name in said:
        yield Finding("Servers", server, "note", f"{what}, as above")
        return
    said.add(kind.name)
    knows = tuple(f"{word.replace('_', ' ')}: {how}" for word, how in kind.knows.items())
    more = (f"to be told more: {kind.advice}",) if is_posted(requests) else ()
    yield Finding("Servers", server, "note", f"{what}; what it can tell:", details=(*knows, *more))


def _whole(server: ServerSettings, devices: Sequence[Device]) -> Iterator[Finding]:
    """What is said once of a server, however many sources tell of it."""
    yield from _gpus(server, devices)
    if server.metrics_url is not None:
        yield gauge.examine(server.metrics_url)


def _gpus(server: ServerSettings, devices: Sequence[Device]) -> Iterator[Finding]:
    if devices and server.calibration is None and not any(serves(server, device) for device in devices):
        known = ", ".join(f"{device.name} {device.uuid}".strip() for device in devices)
        text = f"gpus: {', '.join(server.gpus)} names none of the devices here"
        yield Finding("Servers", "gpus", "fail", text, f"choose from: {known}")


def _log(requests: RequestSettings, now: Instant) -> Iterator[Finding]:
    """The log in which requests are told."""
    if reads_standard_input(requests):
        text = "standard input: it is not read here; try `parse` on a saved piece of it"
        yield Finding("Servers", "log", "note", text)
    for pattern in requests.path:
        if pattern != "-":
            yield from _pattern(pattern, requests, now)
    if requests.kubernetes is not None:
        looked = cluster.examine(requests.kubernetes, now)
        yield from looked.findings
        for pod in sorted(looked.samples, key=lambda pod: looked.samples[pod].written)[-1:]:
            yield from _content(looked.samples[pod], requests)


# --- the files -----------------------------------------------------------------------------------------------------


def _pattern(pattern: str, requests: RequestSettings, now: Instant) -> Iterator[Finding]:
    try:
        names = names_of(pattern)
    except OSError as error:
        yield _unreadable(pattern, error)
        return
    samples: dict[str, Sample] = {}
    for name in names:
        taken = _file(name)
        if isinstance(taken, Sample):
            samples[name] = taken
        else:
            yield taken
    if not names:
        yield _missing(pattern)
    yield from _found(samples, requests, now)


def _file(name: str) -> Sample | Finding:
    try:
        refusal = refusal_of(os.stat(name), name)  # noqa: PTH116 - a name, as the follower has it
        if refusal is None:
            return take(name)
    except FileNotFoundError as error:
        return _unreadable(name, error) if os.path.lexists(name) else _missing(name)
    except OSError as error:
        return _unreadable(name, error)
    problem, _, fix = refusal.partition(": ")
    return Finding("Servers", "log", "fail", f"{name} {problem}", fix)


def _missing(pattern: str) -> Finding:
    there = next((parent for parent in Path(pattern).parents if look_up(str(parent))), None)
    fix = f"correct the path, of which {there} exists, or let the server write it: SERVER 2>&1 | tee -a FILE"
    if is_container():
        fix += f"; {_CONTAINER}"
    return Finding("Servers", "log", "fail", f"{pattern}: there is no such file", fix)


def _unreadable(name: str, error: OSError) -> Finding:
    problem, _, fix = advice_on(error).partition(": ")
    fix += f" (this is user {os.geteuid()}, group {os.getegid()})" if isinstance(error, PermissionError) else ""
    return Finding("Servers", "log", "fail", f"{name} {problem}", fix)


def _found(samples: Mapping[str, Sample], requests: RequestSettings, now: Instant) -> Iterator[Finding]:
    newest = sorted(samples, key=lambda name: samples[name].written, reverse=True)
    for name in newest[:_SHOWN]:
        yield _freshness(name, samples[name], now)
    if len(newest) > _SHOWN:
        yield Finding("Servers", "log", "note", f"and {words.count(len(newest) - _SHOWN, 'older file')}")
    for name in newest[:1]:
        yield from _content(samples[name], requests)


def _freshness(name: str, sample: Sample, now: Instant) -> Finding:
    rotated = beside(Path(name))
    hint = (f"rotated before ({rotated}): that is followed",) if rotated else ()
    if not sample.size:
        fix = "nothing to do if the server has just started"
        return Finding("Servers", "log", "warn", f"{name}: empty", fix, hint)
    seconds = max(now - sample.written, 0.0)
    text = f"{name}: {words.size(sample.size)}, last written {words.age(seconds)}"
    if seconds > _OLD_SECONDS:
        return Finding("Servers", "log", "warn", text, "is the server writing to another file by now?", hint)
    return Finding("Servers", "log", "ok", text, details=hint)


# --- what they say -------------------------------------------------------------------------------------------------


def _content(sample: Sample, requests: RequestSettings) -> Iterator[Finding]:
    if not sample.lines:
        return
    kind = READERS[requests.source]
    try:
        heard = understand(sample, kind.build(requests.options, requests.timezone))
    except ConfigError as error:
        guess = _best_guess(sample)
        fix = f"this looks like {guess}: {_as_source(guess)}" if guess else kind.advice
        yield Finding("Servers", "options", "fail", f"{requests.source}: {error}", fix)
        return
    yield _lines(heard, sample)
    yield _requests(heard, sample, requests)
    if heard.timed:
        yield from _tokens(heard)
        yield from clock_finding(sample, kind.build(requests.options, requests.timezone))


def _lines(heard: Understanding, sample: Sample) -> Finding:
    part = sample.part or (f"the last {words.size(SAMPLE_BYTES)}" if sample.size > SAMPLE_BYTES else "the whole log")
    told = [f"{heard.used} used", *_fates("ignored", heard.ignored), *_fates("dropped", heard.dropped)]
    text = f"{words.count(len(sample.lines), 'line')} in {part}: {', '.join(told)}"
    if not heard.dropped:
        return Finding("Servers", "lines", "ok", text)
    fix = "dropped lines looked like a request's, but something in them could not be read: please report them"
    return Finding("Servers", "lines", "warn", text, fix)


def _fates(fate: str, reasons: Mapping[str, int]) -> Iterator[str]:
    if reasons:
        yield f"{sum(reasons.values())} {fate} ({', '.join(f'{r} {n}' for r, n in sorted(reasons.items()))})"


def _requests(heard: Understanding, sample: Sample, requests: RequestSettings) -> Finding:
    advice = READERS[requests.source].advice
    if heard.timed and heard.ends:
        return _say("ok", f"{words.count(heard.timed, 'request')} with start, {heard.ends} with end")
    if heard.timed:
        text = f"{words.count(heard.timed, 'request')} with start, but no end: each is taken to run until a time-out"
        return _say("fail", text, advice)
    guess = _best_guess(sample)
    if guess is not None:
        return _say("fail", f"none found: this looks like {guess}, not {requests.source}", _as_source(guess))
    if heard.counted:
        text = f"{words.count(heard.counted, 'request')} can be counted but not attributed: nothing says when they ran"
        return _say("fail", text, advice)
    text = f"none found in {words.count(len(sample.lines), 'line')}"
    return _say("warn", text, f"send the server a request and look again. If it had some: {advice}")


def _say(verdict: Verdict, text: str, fix: str = "") -> Finding:
    return Finding("Servers", "requests", verdict, text, fix)


def _tokens(heard: Understanding) -> Iterator[Finding]:
    if heard.ends and not heard.tokens:
        yield Finding("Servers", "tokens", "note", "not told by this log: no joules per token, and shares by time")


def _best_guess(sample: Sample) -> str | None:
    """The kind of log whose reader finds requests with their times, and the most of them; None where none does."""
    found = {name: heard.timed for name, heard in guesses(sample) if heard.timed}
    return max(found, key=lambda name: found[name]) if found else None


def _as_source(guess: str) -> str:
    source, _, profile = guess.partition(" with profile: ")
    if not profile:
        return f"set requests.source to {source} (--source {source})"
    option = f"--source {source} --option profile={profile}"
    return f"set requests.source to {source} and requests.profile to {profile} ({option})"
