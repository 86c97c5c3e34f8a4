"""A synthetic OpenAI-compatible server and a client, as cheap as asyncio allows, so that what lies between is seen.

The server thinks for no time: its answers are ready, plain or as a stream of events that it writes one by one. The
client keeps its connections and reads no more of an answer than tells it that it is whole.
"""

import asyncio
import time
from dataclasses import dataclass

EVENTS = 100
"""Of content in a stream."""
PATH = "/v1/chat/completions"

_NAMES = '"id":"chatcmpl-bench","created":1795270000,"model":"bench","system_fingerprint":"none"'
_USAGE = '"usage":{"prompt_tokens":12,"completion_tokens":100,"total_tokens":112}'
_PLAIN = (
    f'{{{_NAMES},"object":"chat.completion","choices":[{{"index":0,"finish_reason":"stop",'
    f'"message":{{"role":"assistant","content":"{"word " * 100}"}}}}],{_USAGE}}}'
).encode()
_EVENT = (
    f'data: {{{_NAMES},"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"word "}},'
    '"logprobs":null,"finish_reason":null}]}\n\n'
).encode()
_LAST = f'data: {{{_NAMES},"object":"chat.completion.chunk","choices":[],{_USAGE}}}\n\ndata: [DONE]\n\n'.encode()
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_PLAIN_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_PLAIN) + _PLAIN
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Server(asyncio.Protocol):
    """One connection to the synthetic server."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connects."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._buffer += data
        while (whole := _request(self._buffer)) is not None:
            body, self._buffer = whole
            assert self._transport is not None
            if b'"stream":true' in body.replace(b" ", b""):
                self._transport.write(_STREAM_HEAD)
                asyncio.get_running_loop().call_soon(self._event, EVENTS)
            else:
                self._transport.write(_PLAIN_ANSWER)

    def _event(self, left: int) -> None:
        """Write an event, and the next one when the loop comes round again."""
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if left:
            self._transport.write(_chunk(_EVENT))
            asyncio.get_running_loop().call_soon(self._event, left - 1)
        else:
            self._transport.write(_chunk(_LAST) + b"0\r\n\r\n")


def _request(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The body of a complete request, chunked or of a known length, and what comes behind it."""
    head, end, rest = buffer.partition(b"\r\n\r\n")
    if not end:
        return None
    low = head.lower()
    if b"transfer-encoding: chunked" in low:
        body, end, rest = rest.partition(b"0\r\n\r\n")
        return (body, rest) if end else None
    _, found, after = low.partition(b"content-length:")
    length = int(after.partition(b"\r\n")[0]) if found else 0
    return (rest[:length], rest[length:]) if len(rest) >= length else None


async def serve() -> tuple[asyncio.Server, int]:
    """The server on a free port."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    return server, int(server.sockets[0].getsockname()[1])


class Client(asyncio.Protocol):
    """One kept connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._left = 0
        self._tail = b""
        self._chunked = False
        self._done: asyncio.Future[None] | None = None
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> None:
        """Send a request, and wait for all of its answer."""
        assert self._transport is not None
        self._head = b""
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._done

    def data_received(self, data: bytes) -> None:
        """See whether the answer is whole."""
        if not self._head.endswith(b"\r\n\r\n"):
            head, end, data = (self._head + data).partition(b"\r\n\r\n")
            self._head = head + end
            if not end:
                return
            self._begin(head)
        self._left -= len(data)
        self._tail = (self._tail + data)[-5:] if len(data) < 5 else data[-5:]
        if (self._tail == b"0\r\n\r\n") if self._chunked else self._left <= 0:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed it, which it should not have."""
        self.failed += 1
        if self._done is not None and not self._done.done():
            self._done.set_exception(exc or ConnectionError("closed"))

    def _begin(self, head: bytes) -> None:
        low = head.lower()
        self.failed += b" 200 " not in low[:16]
        self._chunked = b"transfer-encoding: chunked" in low
        self._tail = b""
        self._left = 0 if self._chunked else int(low.partition(b"content-length:")[2].partition(b"\r\n")[0])

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def close(self) -> None:
        """No more requests."""
        if self._transport is not None:
            self._transport.abort()


@dataclass(frozen=True, slots=True)
class Load:
    """What clients do: so many at once, for so long, plain or streamed."""

    stream: bool
    clients: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What they saw. `latencies`: in seconds, sorted."""

    latencies: tuple[float, ...]
    seconds: float
    failed: int

    @property
    def a_second(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds within which this share of requests was answered."""
        return self.latencies[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


def request(load: Load) -> bytes:
    """The bytes of a request, as OpenAI's client would send it."""
    ask = '"stream":true,"stream_options":{"include_usage":true},' if load.stream else ""
    body = f'{{"messages":[{{"role":"user","content":"{"Say something. " * 40}"}}],{ask}"model":"bench"}}'.encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n"
        "Accept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: bench\r\n"
        f"Authorization: Bearer sk-bench\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def put_on(port: int, load: Load) -> Measured:
    """Put the load on whatever listens there."""
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Client, "127.0.0.1", port))[1] for _ in range(load.clients)]
    asked = request(load)
    await asyncio.gather(*(client.ask(asked) for client in clients))  # connections and caches are warm
    began = time.perf_counter()
    latencies = await asyncio.gather(*(_keep_asking(client, asked, began + load.seconds) for client in clients))
    seconds = time.perf_counter() - began
    failed = sum(client.failed for client in clients)
    for client in clients:
        client.close()
    return Measured(tuple(sorted(one for many in latencies for one in many)), seconds, failed)


async def _keep_asking(client: Client, asked: bytes, until: float) -> list[float]:
    latencies: list[float] = []
    while (began := time.perf_counter()) < until or not latencies:
        await client.ask(asked)
        latencies.append(time.perf_counter() - began)
    return latencies
