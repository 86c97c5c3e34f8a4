"""Proxy `affine_time`: so many joules a request, and so many a second.

Theory. What a request costs whatever its length (its prompt, its first step) and what it costs for as long as it lasts.
Among requests alone on the server the first is the prefill and the second the power of decode.

Where it fails. As `time` does, for the same reasons. Where all requests last equally long, or as many arrive as are
there on average, the two parts cannot be told apart; their sum can.
"""

from exporter.proxy.proxy import Term

TERMS = (
    Term("request", "J", lambda seen: seen.requests),
    Term("second", "W", lambda seen: seen.seconds),
)
