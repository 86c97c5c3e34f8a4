"""What tests make of the simulated server of `exporter/simulate`, where the energy of every request is known.

Nothing here is measured. It is the only place where a share of overlapping requests can be true or false, and so the
ground on which attribution is tested:

    scenarios  whole runs in one call      hearing    the run as events
    power      watts over time, exactly    logs/      the run as servers' logs
    damage     what may happen to a log on its way
"""
