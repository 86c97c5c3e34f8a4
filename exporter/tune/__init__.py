"""Finding the power limit or the clocks at which a served token costs least.

Theory of operation. A setting is tried on the load that there is: it is set, time passes until the system is steady
again, and then the running exporter's own books say what it cost: joules of requests over output tokens, and how long
requests took. A curve through few trials says where the best setting is, and how sure that is.

    knob        a device's power limit or locked clocks: what it may be, what it is, set and put back (NVML)
    guard       whoever changes a device puts it back: on exit, crash, signal; a second process (keeper) does if the
                first dies, the next start (exporter/undo.py) if both do; lock: one tuner a device
    books       what a running exporter says between two moments (IO); trial: one setting, measured
    search      which setting to try next, and the verdict (pure)

By default nothing is changed: `tune` says what it would do. Changes need `--apply` and the right to make them.
"""
