"""CLEAR: component-level energy by repetition (arXiv 2510.02810), done so that the numbers hold.

Theory of operation. A component of a transformer runs in microseconds; a power sensor is renewed every 20 to 500 ms. So
one real forward pass is captured, and each component is then replayed alone on its own inputs, again and again,
for seconds of *counter time*: from one step of the energy counter to another, because what lies between two steps is
known exactly. Energy of one run is that difference over the number of runs between the two.

    models/      (PyTorch) a configuration by name ─► a model ─► one captured pass ─► Subject: parts to be replayed
    repetition   (no PyTorch) runs of a part in chunks, synchronised; probe: the sensor, as it is asked
    bench        energy of repeated work, from one observed step of the counter to another; how large the error is
    study        trials of every part of a subject ─► Dissection (domain/dissection.py)
    sweep        studies over batch, sequence, heads, hidden size, dtype, phase
    tables, plots, claims   what came out: text, CSV, PNG and SVG; the paper's claims, held against it

Only `models/` imports PyTorch, and nothing outside of this package imports it.
"""
