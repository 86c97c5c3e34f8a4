"""Whether the web configuration file can be used, for how long, and whom it keeps out."""

import stat
from collections.abc import Iterator
from pathlib import Path

from exporter.config.webfile import WebFile, cost_of
from exporter.doctor import words
from exporter.doctor.finding import Finding, Verdict
from exporter.domain.errors import ConfigError
from exporter.domain.settings import ListenAddress, WebSettings
from exporter.domain.units import Instant
from exporter.server.access.inforce import Loaded, load

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SOON_SECONDS = 14 * 86_400.0
_LEAST_COST, _MOST_COST = 10, 14


def examine(web: WebSettings, listen: ListenAddress, now: Instant) -> tuple[Finding, ...]:
    """Read the file as `run` does."""
    if web.config_file is None:
        text = "none: whoever reaches the port may read the metrics and post to the intakes"
        return (_say("ok" if listen.host in _LOOPBACK else "note", text),)
    path = Path(web.config_file)
    try:
        loaded = load(path)
    except ConfigError as error:
        return (_say("fail", str(error), "correct it; `run` does not start with it"),)
    return tuple(_findings(web, listen, path, loaded, now))


def scheme_of(web: WebSettings) -> str:
    """`http`, or `https` where the file can be used and has TLS."""
    try:
        secure = web.config_file is not None and load(Path(web.config_file)).context is not None
    except ConfigError:
        secure = False
    return "https" if secure else "http"


def _findings(web: WebSettings, listen: ListenAddress, path: Path, loaded: Loaded, now: Instant) -> Iterator[Finding]:
    file = loaded.file
    yield _say("ok", f"{path} can be used: {_whom(web, file)}")
    if loaded.context is not None:
        yield _certificate(loaded, now)
    elif file.users and listen.host not in _LOOPBACK:
        yield _say("warn", "passwords travel readable for everybody on the way", "add tls_server_config")
    if file.users:
        yield from _hashes(file)
    for secret in _secrets(path, file):
        yield from _rights(secret)


def _whom(web: WebSettings, file: WebFile) -> str:
    needs = []
    if file.tls is not None and file.tls.is_on:
        needs.append("TLS, so it is https:// for scrapes, spans and events")
        if file.tls.client_auth_type == "RequireAndVerifyClientCert":
            needs.append("a client certificate")
    if file.users:
        needs.append(f"a password ({words.count(len(file.users), 'user')})")
    said = f"needs {'; '.join(needs)}" if needs else "it lets everybody in"
    return f"{said}; open probes need no more than TLS, if that" if needs and web.probes == "open" else said


def _certificate(loaded: Loaded, now: Instant) -> Finding:
    if loaded.dates is None:
        return _say("warn", "what the certificate says cannot be read", "is it one for servers (extendedKeyUsage)?")
    begins, ends = loaded.dates.begins - now, loaded.dates.ends - now
    if begins > 0:
        return _say("fail", "the certificate does not hold yet", "is this machine's clock right? Else renew it")
    if ends <= 0:
        return _say("fail", f"the certificate expired {words.age(-ends)}", "renew it; no restart is needed")
    text = f"the certificate holds for {words.count(int(ends // 86_400), 'more day')}"
    return _say("warn", text, "renew it; no restart is needed") if ends < _SOON_SECONDS else _say("ok", text)


def _hashes(file: WebFile) -> Iterator[Finding]:
    costs = {name: cost_of(hashed) for name, hashed in file.users.items()}
    quick = [name for name, cost in costs.items() if cost < _LEAST_COST]
    slow = [name for name, cost in costs.items() if cost > _MOST_COST]
    if quick:
        fix = f"make it again with a cost of {_LEAST_COST} or 12: `htpasswd -nBC {_LEAST_COST} NAME`"
        yield _say("warn", f"passwords of {', '.join(quick)} are quick to guess from their hash", fix)
    if slow:
        fix = f"a cost of {_LEAST_COST} to 12 is enough; each step more doubles the time"
        yield _say("warn", f"checking passwords of {', '.join(slow)} takes seconds of CPU time", fix)


def _secrets(path: Path, file: WebFile) -> Iterator[Path]:
    if file.users or (file.tls is not None and file.tls.key is not None):
        yield path
    if file.tls is not None and file.tls.key_file is not None:
        yield Path(file.tls.key_file)


def _rights(path: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IROTH:
        fix = f"chmod 0640 {path}; of a Kubernetes secret, set defaultMode: 0440 and the pod's fsGroup"
        yield _say("warn", f"{path} holds secrets and may be read by every user (mode {mode:04o})", fix)


def _say(verdict: Verdict, text: str, fix: str = "") -> Finding:
    return Finding("Listening", "web", verdict, text, fix)
