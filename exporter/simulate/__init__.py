"""A SIMULATED continuous-batching LLM server on simulated GPUs, where the true energy of every request is known.

Nothing here is measured. `physics` is what an engine step costs, `load` what clients ask, `engine` the engine;
`batching` runs a whole load through it at once, for tests. Live, for the command `simulate`:

    arrivals ──► fleet ──► replica: engine ──► trace ──► sensor ──► source ──► the exporter
    front, desk ──┘           └──► journal (vllm_lines, facts, logfile), gauges, truth

`plan` is what a user chose, `simulation` all of it without clocks and sockets, `session` all of it with them.
"""
