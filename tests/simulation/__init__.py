"""A simulated continuous-batching LLM server on simulated GPUs, where the energy of every request is known.

Nothing here is measured. It is the only place where a share of overlapping requests can be true or false, and so the
ground on which attribution is tested:

    load       what clients ask            power      watts over time, exactly
    physics    what steps cost             hearing    the run as events
    engine     the steps, and the truth    logs/      the run as servers' logs
    scenarios  whole runs in one call      damage     what may happen to a log on its way
"""
