"""Which way text arrives, by what the configuration names."""

from collections.abc import Sequence

from exporter.domain.errors import ConfigError
from exporter.domain.settings import StartAt
from exporter.requests.arrival import Arrival
from exporter.requests.arrival.envelope import EnvelopeKind
from exporter.requests.arrival.follow import Follower
from exporter.requests.arrival.pipe import Pipe

STANDARD_INPUT = "-"


def open_arrival(paths: Sequence[str], *, start_at: StartAt = "end", envelope: EnvelopeKind = "auto") -> Arrival:
    """Open what `RequestSettings.path` names: standard input, which no path means too, or files to follow.

    Raises:
        ConfigError: where both are named.
    """
    if paths and STANDARD_INPUT not in paths:
        return Follower(paths, start_at=start_at, envelope=envelope)
    if len(paths) > 1:
        raise ConfigError("path", f"`{STANDARD_INPUT}` is standard input and stands alone, without {list(paths)}")
    return Pipe(envelope=envelope)
