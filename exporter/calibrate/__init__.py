"""The command `calibrate`: what proxies learned here, carried to where there is no sensor.

    export   a calibration, from a running exporter or from the state of one that has stopped, as a file
    show     what is in such a file, and what to think of it
    check    whether it can be used
    import   into a state directory, for the servers of its model
    match    which of several a remote server's latencies fit, if any

Each is a module with `add_arguments(parser)` and `run(options)`, which returns the exit code.
"""
