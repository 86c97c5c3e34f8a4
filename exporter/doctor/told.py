"""What is told over HTTP: whether our reverse proxy could serve, and where spans and events are to be sent."""

import http.client
import ssl
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from exporter.doctor import listening
from exporter.doctor.finding import Finding, Verdict
from exporter.domain.errors import ConfigError
from exporter.domain.settings import ListenAddress, RequestSettings
from exporter.requests.posted.proxied import ProxyOptions, check

_TIMEOUT_SECONDS = 3.0


def examine(requests: RequestSettings, listen: ListenAddress, scheme: str) -> Iterator[Finding]:
    """Look at one source that reads no log. `listen`: where this exporter serves, by `http` or `https`."""
    host = "THIS-HOST" if listen.host in {"0.0.0.0", "::"} else listen.host  # noqa: S104 - every address of ours
    match requests.source:
        case "proxy":
            yield from _proxy(requests)
        case "otlp":
            yield _say("note", f"spans are to be posted to {scheme}://{host}:{listen.port}/v1/traces")
        case "push":
            url = f"{scheme}://{host}:{listen.port}/api/v1/events"
            yield _say("note", f"events are to be posted to {url}", details=(f"what they look like: {url}/schema",))


def _proxy(requests: RequestSettings) -> Iterator[Finding]:
    try:
        options = check(requests.options, requests.timezone)
    except ConfigError as error:
        yield Finding("Servers", "options", "fail", f"proxy: {error}", "correct it in the configuration")
        return
    (port,) = listening.examine(options.listen)
    yield Finding("Servers", "listen", port.verdict, f"reverse proxy: {port.text}", port.fix, port.details)
    yield _upstream(options)


def _upstream(options: ProxyOptions) -> Finding:
    """Whether the server answers; what it answers is its own business."""
    parts = urlsplit(options.upstream)
    fix = "start the server, or correct `upstream`"
    try:
        status = _ask(parts, options.ca_file)
    except ssl.SSLCertVerificationError as error:
        why = f"its certificate is not trusted ({error.verify_message})"
        fix = "give the certificate of its authority as `ca_file`"
        return _say("fail", f"upstream {options.upstream}: {why}", fix)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return _say("warn", f"upstream {options.upstream} does not answer: {why}", fix)
    if status in {502, 503, 504}:
        return _say("warn", f"upstream {options.upstream} answers that it cannot serve ({status})", "look at its log")
    return _say("ok", f"upstream {options.upstream} answers")


def _ask(parts: SplitResult, ca_file: str | None) -> int:
    assert parts.hostname is not None, "checked with the options"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=ca_file)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{parts.path}/health")
        return connection.getresponse().status
    finally:
        connection.close()


def _say(verdict: Verdict, text: str, fix: str = "", *, details: tuple[str, ...] = ()) -> Finding:
    return Finding("Servers", "requests", verdict, text, fix, details)
