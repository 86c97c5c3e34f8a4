"""Which headers pass through a proxy, and which are its own business (RFC 9110, section 7.6.1). Pure."""

from collections.abc import Iterable

from multidict import CIMultiDict, MultiMapping

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""They speak of one connection, not of the message; each side of a proxy has its own."""

_OWN = frozenset({"host", "expect"})
"""Of requests: made anew for the server, and answered here."""


def end_to_end(headers: MultiMapping[str], besides: Iterable[str] = ()) -> CIMultiDict[str]:
    """The headers that pass through, in their order; `besides` (in small letters) are left out too.

    A header that comes several times comes so still. Its spelling is that of the first one.
    """
    dropped = HOP_BY_HOP | named_in_connection(headers)
    dropped |= frozenset(besides)
    spelled: dict[str, str] = {}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        low = name.lower()
        if low not in dropped:
            kept.add(spelled.setdefault(low, name), value)
    return kept


def named_in_connection(headers: MultiMapping[str]) -> frozenset[str]:
    """Headers that the sender declares to be for this connection only, in small letters."""
    if "Connection" not in headers:
        return frozenset()
    listed = ",".join(headers.getall("Connection"))
    return frozenset(name.strip().lower() for name in listed.split(",") if name.strip())


def for_upstream(headers: MultiMapping[str], peer: str | None, scheme: str) -> CIMultiDict[str]:
    """A request's headers for the server: without `Host`, which is the server's own, with who asked and for whom.

    Args:
        headers: as the client sent them.
        peer: the client's address, where known.
        scheme: how it came to us.
    """
    kept = end_to_end(headers, _OWN)
    if peer:
        before = kept.popall("X-Forwarded-For", ())
        kept["X-Forwarded-For"] = ", ".join((*before, peer))
    kept.setdefault("X-Forwarded-Proto", scheme)
    host = headers.get("Host")
    if host:
        kept.setdefault("X-Forwarded-Host", host)
    return kept


def is_websocket(headers: MultiMapping[str]) -> bool:
    """Whether the client wants to go on with the websocket protocol."""
    return headers.get("Upgrade", "").lower() == "websocket" and "upgrade" in named_in_connection(headers)


def has_body(method: str, status: int) -> bool:
    """Whether an answer to this method with this status has a body at all, whatever its headers say."""
    return method != "HEAD" and status >= 200 and status not in (204, 304)
