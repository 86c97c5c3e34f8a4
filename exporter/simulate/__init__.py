"""A SIMULATED continuous-batching LLM server on simulated GPUs, where the true energy of every request is known.

Nothing here is measured. `physics` is what an engine step costs, `load` what clients ask, `batching` the engine.
"""
