"""Whether a log can be read over the Kubernetes API: by asking for its end, just as `run` asks for what follows."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from exporter.doctor import words
from exporter.doctor.finding import Finding, Verdict
from exporter.doctor.sample import SAMPLE_BYTES, Sample
from exporter.domain.errors import ConfigError
from exporter.domain.lines import Line
from exporter.domain.settings import KubernetesLog
from exporter.domain.units import Instant, later
from exporter.requests.arrival.kubernetes.access import Access, access_to
from exporter.requests.arrival.kubernetes.answers import Question, Refusal, read_up_to, refusal_of
from exporter.requests.arrival.kubernetes.podlog import words_of
from exporter.requests.arrival.kubernetes.pods import find_pods
from exporter.requests.arrival.kubernetes.stamped import Stamped, StampedLines

_PATIENCE_SECONDS = 30.0
_TAIL_LINES = 2_000
_SHOWN = 5
_OLD_SECONDS = 86400.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found. `samples`: the ends of the logs that can be read, by pod."""

    findings: tuple[Finding, ...]
    samples: Mapping[str, Sample] = field(default_factory=dict)


def examine(log: KubernetesLog, now: Instant) -> Looked:
    """Ask the API server. Not for use inside an event loop."""
    try:
        access = access_to(log)
    except ConfigError as error:
        problem, _, fix = error.problem.partition(": ")
        return Looked((_say("fail", f"kubernetes.{error.path}: {problem}", fix or "correct the configuration"),))
    return asyncio.run(_look(access, log, now))


async def _look(access: Access, log: KubernetesLog, now: Instant) -> Looked:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            pods = [log.pod] if log.pod is not None else await find_pods(access, log.selector or "", log.node)
            if isinstance(pods, Refusal):
                return Looked((_refused(pods, f"pods with {log.selector}"),))
            return await _look_at(access, log, pods, now)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return Looked((_unreached(access, error),))


async def _look_at(access: Access, log: KubernetesLog, pods: list[str], now: Instant) -> Looked:
    if not pods:
        text = f"selector {log.selector} finds no pod in namespace {access.namespace}"
        return Looked((_say("warn", text, "nothing to do if none runs now; else correct `selector` or `namespace`"),))
    findings = [_found(access, log, pods)]
    samples: dict[str, Sample] = {}
    for pod in pods[:_SHOWN]:
        end = await _end_of(access, log, pod)
        if isinstance(end, Refusal):
            findings.append(_refused(end, f"pod {pod}"))
            continue
        findings.append(_freshness(pod, end, now))
        if end.lines:
            samples[pod] = end
    return Looked(tuple(findings), samples)


async def _end_of(access: Access, log: KubernetesLog, pod: str) -> Sample | Refusal:
    params = {"timestamps": "true", "tailLines": str(_TAIL_LINES), "limitBytes": str(SAMPLE_BYTES)}
    if log.container:
        params["container"] = log.container
    async with (
        access.session(access.token()) as session,
        session.get(access.log(pod), params=params, allow_redirects=False) as response,
    ):
        if response.status != 200:
            return await refusal_of(response, Question("get", "pods/log", access.namespace, pod))
        return _sample(await read_up_to(response.content, SAMPLE_BYTES))


def _sample(raw: bytes) -> Sample:
    """The lines as if each had just been seen to appear, which is how a log is read live."""
    lines = StampedLines(SAMPLE_BYTES).feed(raw)
    written = Instant(lines[-1].seconds) if lines else Instant(0.0)
    whole = len(lines) < _TAIL_LINES and len(raw) < SAMPLE_BYTES
    part = "the whole log" if whole else f"{words.size(len(raw))} of its end"
    return Sample(tuple(_line(line, written) for line in lines), written, len(raw), part)


def _line(line: Stamped, written: Instant) -> Line:
    return Line(line.text, later(written, -_POLL_SECONDS), written, 0.0, Instant(line.seconds))


# --- in words ------------------------------------------------------------------------------------------------------


def _say(verdict: Verdict, text: str, fix: str = "", details: tuple[str, ...] = ()) -> Finding:
    return Finding("Servers", "kubernetes", verdict, text, fix, details)


def _found(access: Access, log: KubernetesLog, pods: list[str]) -> Finding:
    where = f"of namespace {access.namespace} at {access.api}"
    if log.pod is not None:
        return _say("note", f"pod {log.pod} {where}")
    more = (f"and {len(pods) - _SHOWN} more",) if len(pods) > _SHOWN else ()
    return _say("note", f"selector {log.selector} finds {words.count(len(pods), 'pod')} {where}", details=more)


def _freshness(pod: str, sample: Sample, now: Instant) -> Finding:
    if not sample.lines:
        return _say("warn", f"pod {pod}: its log is empty", "nothing to do if its container has just started")
    seconds = max(now - sample.written, 0.0)
    text = f"pod {pod}: its log can be read, last written {words.age(seconds)}"
    if seconds > _OLD_SECONDS:
        return _say("warn", text, "is this the container that serves requests? Else set `container`")
    return _say("ok", text)


def _refused(refusal: Refusal, what: str) -> Finding:
    problem, _, fix = refusal.words.partition(": ")
    if refusal.meaning == "nothing":
        return _say("warn", f"{what}: {problem}", f"nothing to do if it is about to start: it is {fix}")
    if refusal.meaning == "later":
        return _say("fail", f"{what}: {problem}", "look again when the API server has time")
    return _say("fail", f"{what}: {problem}", fix)


def _unreached(access: Access, error: Exception) -> Finding:
    problem, _, why = words_of(error).partition(": ")
    advice = f"check `api`, and that a network policy lets this pod reach it ({why.removeprefix('tried again ')})"
    return _say("fail", f"{access.api}: {problem}", why if "`" in why else advice)
