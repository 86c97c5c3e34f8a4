"""One command that holds this exporter against a real NVIDIA GPU, in less than nine minutes.

    python3 -m validation --out DIR            on a machine with an NVIDIA GPU; see `--help` for a part of it
    python3 -m validation --out DIR --fake     without one, on the fake NVML and tiny models: shows only that it runs

It needs this checkout and that machine's Python with PyTorch, Transformers, and what the exporter itself imports; it
downloads nothing, and it never changes a setting of the device: no power limit, no clocks, no modes, no resets.

    stages       the list of them; options: what the command line chose
    machine      what this machine is, and what of this can run on it
    schedule     stages share the time; one that fails or is out of time costs itself only
    sensor/      (a) steps and windows of the sensors, idle watts, counter against integral, what a call costs
    serving/     (b) real servers on random weights under real load, metered by the real exporter and recorded
    judging/     (c, d) attribution and proxies, held against what the recordings and the clients know       (pure)
    components   (e) CLEAR's claims, by the `components` command
    overhead     (g) what the exporter costs the server
    programs     processes that are stopped for certain; driver: finds NVML where the loader does not
    checking     what would run here, and what would not: `--check`
    results      what came out, as frozen values; files: as JSON; report: as Markdown
    fake         boards that follow the CPU time used by this very program, for `--fake`

Recordings (f) of the runs lie beside the results.
"""
