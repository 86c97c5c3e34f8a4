"""Which way text arrives, by what the configuration names."""

from collections.abc import Sequence

from exporter.domain.errors import ConfigError
from exporter.domain.settings import KubernetesLog, StartAt
from exporter.requests.arrival import Arrival
from exporter.requests.arrival.envelope import EnvelopeKind
from exporter.requests.arrival.follow import Follower
from exporter.requests.arrival.pipe import Pipe

STANDARD_INPUT = "-"


def open_arrival(
    paths: Sequence[str],
    *,
    start_at: StartAt = "end",
    envelope: EnvelopeKind = "auto",
    kubernetes: KubernetesLog | None = None,
) -> Arrival:
    """Open what `RequestSettings` name: a log of the Kubernetes API, files, or standard input where nothing is named.

    Raises:
        ConfigError: where standard input and files are named; or the Kubernetes API cannot be reached from here.
    """
    if kubernetes is not None:
        from exporter.requests.arrival.kubernetes.logs import KubernetesLogs  # noqa: PLC0415 - a file needs no client

        try:
            return KubernetesLogs(kubernetes, start_at=start_at)
        except ConfigError as error:
            raise ConfigError(f"kubernetes.{error.path}", error.problem) from error
    if paths and STANDARD_INPUT not in paths:
        return Follower(paths, start_at=start_at, envelope=envelope)
    if len(paths) > 1:
        raise ConfigError("path", f"`{STANDARD_INPUT}` is standard input and stands alone, without {list(paths)}")
    return Pipe(envelope=envelope)
