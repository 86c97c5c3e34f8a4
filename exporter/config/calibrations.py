"""The calibrations that servers are estimated with: the files that a configuration names, and those that were imported.

Whatever is wrong with one of them stops the exporter at start: an estimate that silently came from another calibration,
or from none, would look like any other.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from exporter.domain.errors import CalibrationError, ConfigError
from exporter.domain.settings import ServerSettings, Settings
from exporter.proxy.calibration.calibration import Calibration, from_json

FOLDER = "calibrations"
"""Of the state directory: what was imported."""

LARGEST_BYTES = 1 << 20
"""A calibration has some ten thousand: what is much larger is something else."""


def read_calibration(path: Path) -> Calibration:
    """The calibration in a file.

    Raises:
        CalibrationError: there is none, or not one that this release can use; names the file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise CalibrationError("", f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_BYTES:
        raise CalibrationError("", f"{path} is no calibration: larger than {LARGEST_BYTES} bytes")
    try:
        return from_json(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CalibrationError("", f"{path} is no calibration: no UTF-8 text (byte {error.start})") from error
    except CalibrationError as error:
        raise CalibrationError("", f"{path}: {error}") from error


def imported(state_dir: Path) -> Mapping[str, Calibration]:
    """What was imported into a state directory, by file name.

    Raises:
        CalibrationError: one of them cannot be used; names the file.
    """
    return {path.name: read_calibration(path) for path in sorted((state_dir / FOLDER).glob("*.json"))}


def calibrations_for(settings: Settings, estimated: Collection[str]) -> dict[str, Calibration]:
    """By server name, the calibrations to estimate with. Every file that the configuration names is checked.

    Args:
        settings: the configuration.
        estimated: names of the servers that no metered device serves.

    Raises:
        ConfigError: one cannot be used, or several could be meant; names `servers[i].calibration` and the file.
    """
    chosen: dict[str, Calibration] = {}
    for index, server in enumerate(settings.servers):
        where = f"servers[{index}].calibration"
        try:
            if server.calibration is not None:
                chosen[server.name] = read_calibration(Path(server.calibration))
            elif server.name in estimated and server.model is not None and settings.state_dir is not None:
                found = _imported_for(server, Path(settings.state_dir), where)
                chosen |= {server.name: found} if found is not None else {}
        except CalibrationError as error:
            fix = "export it again where the model was metered; without one, requests are counted and have no energy"
            raise ConfigError(where, f"{error}; {fix}") from error
    return {name: one for name, one in chosen.items() if name in estimated}


def _imported_for(server: ServerSettings, state_dir: Path, where: str) -> Calibration | None:
    """The one that was imported for this server's model, if any."""
    fitting = {name: one for name, one in imported(state_dir).items() if one.key.model == server.model}
    if len(fitting) > 1:
        folder = state_dir / FOLDER
        raise ConfigError(where, f"{', '.join(fitting)} in {folder} are all of {server.model}: name one of these files")
    return next(iter(fitting.values()), None)
