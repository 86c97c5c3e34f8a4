"""`/api/v1/calibration`: a list of the calibrations that could be made now, or one of them whole, by server and model.

A whole one is the very text that `llm-energy-exporter calibrate export` writes to a file.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from exporter.proxy.calibration.calibration import Calibration

PATH = "/api/v1/calibration"

ByServer = Mapping[str, Sequence[Calibration]]
"""Calibrations by the name of the server that they were learned on."""


def listed(calibrations: ByServer) -> Mapping[str, Any]:
    """What there is, and where to get each."""
    entries = [_entry(server, one) for server, several in calibrations.items() for one in several]
    return {"calibrations": entries}


def chosen(calibrations: ByServer, server: str | None, model: str | None) -> list[Calibration]:
    """Those of this server and this model; None is any."""
    return [
        one
        for name, several in calibrations.items()
        for one in several
        if server in (None, name) and model in (None, one.key.model)
    ]


def _entry(server: str, one: Calibration) -> Mapping[str, Any]:
    query = urlencode({"server": server, "model": one.key.model}, errors="replace")
    return {
        "server": server,
        "model": one.key.model,
        "gpu": one.key.gpu,
        "gpus": one.key.gpus,
        "method": one.method,
        "date": one.date,
        "proxies": list(one.proxies),
        "path": f"{PATH}?{query}",
    }
