"""(b) Real servers on random weights, under real load, metered by the real exporter and recorded.

run       the contract: a server under test, what clients know, what was recorded
"""
