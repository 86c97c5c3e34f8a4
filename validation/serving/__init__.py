"""(b) Real servers on random weights, under real load, metered by the real exporter and recorded.

For each server: weights are written, it starts, is warmed up and its pace measured; the exporter starts as a process of
its own and reads the server's log and NVML; then comes the load, and what its clients know of each request is kept.

    run        the contract: a server under test, what clients know, what was recorded
    servers    which servers with which models
    llama      llama-server; binary: where it is and how it sees the GPU; gguf: a model file of random weights
    plan       what is asked, sized to a pace and a time (pure); load: asks it, and keeps what clients know
    metering   the exporter as a process
    stage      all of it, in order; keeping: runs in a file, to be judged again
"""

from validation.options import Options
from validation.serving.stage import ServingStage


def stage(options: Options) -> ServingStage:
    """The stage."""
    return ServingStage(options)
