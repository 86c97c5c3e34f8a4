"""The calibrations that could be made, as an entry of saved state: so that a stopped exporter's can be had as well."""

import json
from collections.abc import Mapping, Sequence

from exporter.proxy.calibration.calibration import Calibration, from_json, to_json
from exporter.proxy.calibration.document import parse

ENTRY = "calibrations"
"""Its key in the state."""
_MOST = 1000


def pack(calibrations: Mapping[str, Sequence[Calibration]]) -> bytes:
    """Calibrations by server name, as bytes to save under `ENTRY`."""
    documents = {server: [json.loads(to_json(one)) for one in several] for server, several in calibrations.items()}
    return json.dumps(documents).encode()


def unpack(saved: bytes) -> dict[str, list[Calibration]]:
    """What was packed.

    Raises:
        CalibrationError: it is not that.
    """
    entries = parse(saved.decode("utf-8", "replace"), "saved calibrations").entries()
    return {
        server: [from_json(json.dumps(one.value)) for one in several.items(_MOST)]
        for server, several in entries.items()
    }
