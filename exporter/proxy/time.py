"""Proxy `time`: so many joules a second, however many others are waited for with it.

Theory. If a server draws about the same power whenever it works, a request's energy is that power times how long it
took. This is the claim that gave the time proxy its name (Krupp et al., arXiv 2603.15699, who use it for remote models
of which nothing but the time is seen), and the naive form of it, here to be tested.

Where it fails. Requests that share the server each count the whole of the time, so its coefficient is the power over
the mean number of requests at hand, and is wrong as soon as that number changes: over 67 published combinations of
model and GPU, latency and joules per token run opposite to each other as the load grows (ML.ENERGY v3). Queueing is
time without energy. Prefill draws far more power than decode.
"""

from exporter.proxy.proxy import Term

TERMS = (Term("second", "W", lambda seen: seen.seconds),)
