"""[1] Where requests are told: pure text in, events out. How text arrives stands beside (arrival/).

servers/   inference servers' own logs, a file each
fronts/    what stands in front of them: reverse proxies' logs, JSON lines of any kind
posted/    what is told over HTTP: spans, events; the options of our own reverse proxy
parts/     what they are made of
"""
