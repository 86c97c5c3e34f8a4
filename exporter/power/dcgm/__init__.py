"""NVIDIA GPUs, through a dcgm-exporter that runs already, for where NVML must not be opened.

Theory of operation. dcgm-exporter collects all GPUs every so often (30 s unless it is told otherwise) and answers every
question in between with the same values. A question costs it little and forces nothing, so it is asked about once a
second: that a value has changed tells that it collected, and when, to within the pause between two questions. The
energy counter is told at every look, for the meter finds out by itself when it stepped; power is told once for each
collection, as it says nothing new until the next.

    page.py      what a page says, board by board: MIG instances and pods that share a board repeat it, it counts once
    choosing.py  which boards are meant: of one host, by index, UUID or bus id, or those that Kubernetes gave to a pod
    asking.py    one connection that is kept open, bounded in bytes and seconds
    source.py    the source, and its pace

Half a minute between two values is long for requests of seconds: `Device.period_seconds` tells everybody who waits.
"""

from exporter.power.dcgm.source import DcgmSource

__all__ = ["DcgmSource"]
