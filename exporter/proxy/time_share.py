"""Proxy `time_share`: so many joules a second of the server, divided by how many requests were there.

Theory. Time corrected for concurrency: a request that shares the server with n - 1 others counts 1/n of each moment. So
the shares of all requests sum to the time the server was busy, and the coefficient is simply its mean busy power.
Queueing costs nothing here, because a request that waits is not on the server yet. Forgetting the 1/n is the
largest error a proxy can make.

Where it fails. A fuller batch draws more power, and a long prompt more than a short one; the shares know of neither.
"""

from exporter.proxy.proxy import Term

TERMS = (Term("shared_second", "W", lambda seen: seen.shared_seconds),)
