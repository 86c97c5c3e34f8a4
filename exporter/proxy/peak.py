"""Proxy `peak`: the most the devices may draw, for as long as the request took.

Theory. None: it is how headlines are made, a board's power limit times the time. It is here to show how wrong that is.
The limit is given by the devices and never learned; where they do not tell it, nothing is predicted.

Where it fails. Decode hardly ever reaches the limit, and requests that share the server each count the whole of it.
"""

from exporter.proxy.proxy import Term

TERMS = (Term("second", "W", lambda seen: seen.seconds),)
