"""(b) Real servers on random weights, under real load, metered by the real exporter and recorded.

For each server: weights are written, it starts, is warmed up and its pace measured; the exporter starts as a process of
its own and reads the server's log and NVML; then comes the load, and what its clients know of each request is kept.

    run        the contract: a server under test, what clients know, what was recorded
    gguf       a model file of random weights
"""
