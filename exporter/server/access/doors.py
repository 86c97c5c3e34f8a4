"""Before a request is answered: is whoever asks allowed to?

The format's own rule is that everything is protected, the answers to probes included. A kubelet that probes has
neither a password nor a certificate, and restarts what does not answer; so `web.probes: open` leaves these two paths to
everybody. They tell that a process runs and whether it has started, and nothing else.
"""

import base64
import binascii
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from exporter.config.webfile import RateLimit, TlsFile, WebFile
from exporter.domain.health import Refused, WebView
from exporter.server.access.inforce import InForce
from exporter.server.access.passwords import BusyError, Passwords

PROBES = frozenset({"/-/healthy", "/-/ready"})
_CHALLENGE: Mapping[str, str] = {hdrs.WWW_AUTHENTICATE: 'Basic realm="llm-energy-exporter", charset="UTF-8"'}


class _RefusedError(Exception):
    """Somebody may not come in. `reason` is what it is counted under."""

    def __init__(self, reason: Refused, answer: web.Response) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer


class Doors:
    """Lets requests in, or refuses and counts them.

    Attributes:
        passwords: checks them. clock: seconds that only go forward.
    """

    def __init__(self, in_force: InForce, *, probes_open: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.passwords = Passwords()
        self._in_force = in_force
        self._probes_open = probes_open
        self._bucket = _Bucket(clock)
        self._refused: Counter[Refused] = Counter()

    def guard(self, app: web.Application) -> None:
        """Stand before this application, which is not running yet."""

        @web.middleware
        async def enter(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._enter(request, handler)

        app.middlewares.append(enter)
        app.on_response_prepare.append(self._add_headers)

    def view(self) -> WebView:
        """How it is doing."""
        dates = self._in_force.loaded.dates
        return WebView(
            good=self._in_force.good,
            certificate_ends=dates.ends if dates is not None else None,
            refused=dict(self._refused),
        )

    async def _add_headers(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers.update(self._in_force.loaded.file.http.headers)

    async def _enter(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        file = self._in_force.now().file
        resource = request.match_info.route.resource
        if not (self._probes_open and resource is not None and resource.canonical in PROBES):
            try:
                await self._check(request, file)
            except _RefusedError as refused:
                self._refused[refused.reason] += 1
                return refused.answer
        return await handler(request)

    async def _check(self, request: web.Request, file: WebFile) -> None:
        if not self._bucket.has_one(file.rate_limit):
            raise _RefusedError("rate_limit", _say(429, "too many requests", {hdrs.RETRY_AFTER: "1"}))
        if file.tls is not None:
            _check_certificate(request, file.tls)
        if file.users:
            await self._check_password(request, file.users)

    async def _check_password(self, request: web.Request, users: Mapping[str, str]) -> None:
        given = _credentials(request.headers.get(hdrs.AUTHORIZATION, ""))
        try:
            if given is not None and await self.passwords.fit(users, *given):
                return
        except BusyError:
            busy = _say(503, "too many passwords are being checked", {hdrs.RETRY_AFTER: "1"})
            raise _RefusedError("too_many_passwords", busy) from None
        reason: Refused = "wrong_password" if given is not None else "no_password"
        raise _RefusedError(reason, _say(401, "this needs a user name and a password", _CHALLENGE))


def _check_certificate(request: web.Request, tls: TlsFile) -> None:
    """What TLS itself has left open: verified it is, if there is one."""
    if tls.client_auth_type != "RequireAndVerifyClientCert":
        return
    shown: Mapping[str, Any] | None = request.get_extra_info("peercert")
    if not shown:
        raise _RefusedError("no_certificate", _say(403, "this needs a client certificate"))
    names = {str(name) for _kind, name in shown.get("subjectAltName", ())}
    if tls.client_allowed_sans and names.isdisjoint(tls.client_allowed_sans):
        raise _RefusedError("other_certificate", _say(403, "this client certificate has no name that is allowed here"))


def _credentials(header: str) -> tuple[bytes, bytes] | None:
    """Name and password of an Authorization header; None where it holds none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _say(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)


class _Bucket:
    """A token bucket."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit = RateLimit()
        self._tokens, self._at = 0.0, clock()

    def has_one(self, limit: RateLimit) -> bool:
        """Whether one more may come now."""
        if not limit.interval_seconds:
            return True
        now = self._clock()
        if limit != self._limit:
            self._limit, self._tokens = limit, float(limit.burst)
        self._tokens = min(self._tokens + (now - self._at) / limit.interval_seconds, float(limit.burst))
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
