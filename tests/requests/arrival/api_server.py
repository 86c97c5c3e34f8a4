"""A real HTTP server that serves pods' logs as API server and kubelet do, and fails as they do.

What it takes over from them: `sinceTime` is cut to whole seconds and includes its second; a node's answer begins with
its first line, headers included; an old container's log is served until the next one writes; refusals are `Status`
objects; a stream that breaks ends without the last chunk.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from exporter.domain.settings import KubernetesLog

SECOND = 1_000_000_000
START = 1_767_268_800 * SECOND  # 2026-01-01T12:00:00Z


def stamp_text(stamp: int) -> str:
    return datetime.fromtimestamp(stamp // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{stamp % SECOND:09d}Z"


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    kind = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**kind, "message": message, "reason": reason, "code": code}


@dataclass(frozen=True)
class Canned:
    """An answer that comes instead of a log."""

    code: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Pod:
    """One pod with one container.

    Attributes:
        log: the current file: stamps and lines. life: rises with every container. file: rises with every rotation.
        waiting: why there is no container yet. reopens: whether its node notices a rotation while it follows.
    """

    labels: dict[str, str] = field(default_factory=dict)
    log: list[tuple[int, bytes]] = field(default_factory=list)
    life: int = 0
    file: int = 0
    running: bool = True
    waiting: str | None = None
    reopens: bool = True
    node: str = "node-a"
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, stamp: int, *texts: str | bytes) -> None:
        self.log += [(stamp, text.encode() if isinstance(text, str) else text) for text in texts]
        self.notify()

    def rotate(self) -> None:
        self.file += 1
        self.log = []
        self.notify()

    def stop(self) -> None:
        self.running = False
        self.notify()

    def restart(self) -> None:
        self.life += 1
        self.running = True
        self.log = []
        self.notify()

    def notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class ApiServer:
    """Attributes:
    pods: by name. tokens: those accepted; empty accepts everybody. canned: answers to the next questions for a log.
    canned_lists: for a list. cuts: after how many bytes the next streams break. piece: bytes sent at once.
    asked: the queries of all questions for a log, in order.
    """

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.tokens: set[str] = set()
        self.canned: deque[Canned] = deque()
        self.canned_lists: deque[Canned] = deque()
        self.cuts: deque[int] = deque()
        self.piece = 1 << 20
        self.asked: list[dict[str, str]] = []
        self.lists = 0
        self.streams = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, trust: ssl.SSLContext | None = None, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/log", self._log)
        app.router.add_get("/api/v1/namespaces/{namespace}/pods", self._list)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=trust)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def settings(self, **more: Any) -> KubernetesLog:
        return KubernetesLog(**{"namespace": "ml", "api": f"http://127.0.0.1:{self.port}", **more})

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.tokens and request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return web.json_response(status(401, "Unauthorized", "Unauthorized"), status=401)
        return None

    async def _list(self, request: web.Request) -> web.Response:
        self.lists += 1
        if refused := self._refused(request):
            return refused
        if self.canned_lists:
            return _answer(self.canned_lists.popleft())
        key, _, value = request.query["labelSelector"].partition("=")
        conditions = dict(one.partition("=")[::2] for one in request.query["fieldSelector"].split(","))
        node = conditions.get("spec.nodeName")
        found = [name for name, pod in self.pods.items() if pod.labels.get(key) == value and node in (None, pod.node)]
        items = [{"metadata": {"name": name, "namespace": request.match_info["namespace"]}} for name in found]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _log(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if refused := self._refused(request):
            return refused
        if self.canned:
            return _answer(self.canned.popleft())
        name = request.match_info["pod"]
        pod = self.pods.get(name)
        if pod is None:
            return web.json_response(status(404, "NotFound", f'pods "{name}" not found'), status=404)
        if pod.waiting is not None:
            words = f'container "main" in pod "{name}" is waiting to start: {pod.waiting}'
            return web.json_response(status(400, "BadRequest", words), status=400)
        if request.query.get("follow") != "true":
            return web.Response(body=b"".join(_lines(pod.log, request.query)))
        return await self._stream(request, pod)

    async def _stream(self, request: web.Request, pod: Pod) -> web.StreamResponse:
        response = web.StreamResponse()
        left = self.cuts.popleft() if self.cuts else None
        self.streams += 1
        try:
            async for data in self._pieces(pod, request.query):
                if not response.prepared:
                    await response.prepare(request)
                await response.write(data if left is None else data[:left])
                left = None if left is None else left - len(data)
                if left is not None and left <= 0:
                    await _break(request)
                    return response
            if not response.prepared:
                await response.prepare(request)
            await response.write_eof()
        finally:
            self.streams -= 1
        return response

    async def _pieces(self, pod: Pod, query: Mapping[str, str]) -> Any:
        life, file, log, at = pod.life, pod.file, pod.log, 0
        while True:
            changed = pod.changed
            data = b"".join(_lines(log[at:], query))
            at = len(log)
            for start in range(0, len(data), self.piece):
                yield data[start : start + self.piece]
            if pod.life != life or not pod.running:
                return
            if pod.file != file and pod.reopens:
                file, log, at = pod.file, pod.log, 0
                continue
            if at == len(log):
                await changed.wait()


async def _break(request: web.Request) -> None:
    await asyncio.sleep(0)
    assert request.transport is not None
    request.transport.close()


def _answer(canned: Canned) -> web.Response:
    if isinstance(canned.body, str):
        return web.Response(text=canned.body, status=canned.code, headers=canned.headers)
    return web.json_response(canned.body, status=canned.code, headers=canned.headers)


def _lines(log: list[tuple[int, bytes]], query: Mapping[str, str]) -> Iterator[bytes]:
    tail = int(query.get("tailLines", len(log)))
    room = int(query.get("limitBytes", 1 << 40))
    since = 0
    if "sinceTime" in query:
        since = int(datetime.fromisoformat(query["sinceTime"]).timestamp()) * SECOND
    for stamp, text in log[len(log) - tail :]:
        if stamp >= since:
            data = stamp_text(stamp).encode() + b" " + text + b"\n"
            yield data[:room]
            room -= min(len(data), room)
