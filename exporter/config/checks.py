"""What must hold between values that are each right by themselves. Paths are relative to the section looked at."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from exporter.config.problems import ConfigErrors, suggestion
from exporter.config.sections import Check
from exporter.domain.durations import written_duration
from exporter.domain.errors import ConfigError
from exporter.domain.settings import (
    TOLD_OVER_HTTP,
    AttributionSettings,
    CpuEstimate,
    DcgmSettings,
    KubernetesLog,
    PowerSettings,
    RequestSettings,
    Settings,
)

ReaderCheck = Callable[[Mapping[str, Any], str | None], object]
"""Checks a reader's own options, given the time zone: raises ConfigError with a path relative to `requests`."""

Readers = Mapping[str, ReaderCheck]
"""Every request reader there is, by name."""

_REQUEST_KEYS = ("source", "path", "start", "timezone", "kubernetes")
_MOST_SLICES = 1_000_000  # of 8 bytes, a few times per device: beyond this, memory is the surprise
_SAME_ENERGY = frozenset({"rapl", "cpu"})
_SAME_GPUS = frozenset({"nvml", "dcgm"})


def options_suit_the_reader(readers: Readers) -> Check:
    """Each reader knows its own options best."""

    def check(requests: RequestSettings) -> Iterator[ConfigError]:
        try:
            readers[requests.source](requests.options, requests.timezone)
        except ConfigErrors as several:
            yield from (_as_written(error, requests) for error in several.errors)
        except ConfigError as error:
            yield _as_written(error, requests)

    return check


def _as_written(error: ConfigError, requests: RequestSettings) -> ConfigError:
    """A reader speaks of `options`, which stand beside `source` in the file; and it does not know our own keys."""
    path = error.path.removeprefix("options").removeprefix(".")
    meant_ours = path in requests.options and "did you mean" not in error.problem
    return ConfigError(path, error.problem + (suggestion(path, _REQUEST_KEYS) if meant_ours else ""))


def one_way_in(requests: RequestSettings) -> Iterator[ConfigError]:
    """A log comes from files or from the Kubernetes API; what is told over HTTP comes from neither."""
    if requests.source == "proxy":
        for key in ("path", "kubernetes"):
            if getattr(requests, key):
                yield ConfigError(key, "leave it out: source `proxy` sees the requests themselves and reads no log")
    elif requests.source in TOLD_OVER_HTTP and requests.kubernetes:
        yield ConfigError(
            "kubernetes", f"leave it out: source `{requests.source}` is told over HTTP, or read from files"
        )
    elif requests.path and requests.kubernetes:
        yield ConfigError("kubernetes", "leave out `path`, or this: a log comes from files or from the Kubernetes API")


def pod_or_selector(log: KubernetesLog) -> Iterator[ConfigError]:
    """One of the two says which pods are meant."""
    if (log.pod is None) == (log.selector is None):
        yield ConfigError("pod", "name a `pod`, or give a `selector` that finds it: one of the two")
    if log.node is not None and log.selector is None:
        yield ConfigError("node", "leave it out: it narrows what a `selector` finds, and a `pod` is on one node only")


def reads_standard_input(requests: RequestSettings) -> bool:
    """Whether this is told on standard input: it is named, or nothing is for a source that is read as a log."""
    nothing = not requests.path and requests.kubernetes is None and requests.source not in TOLD_OVER_HTTP
    return nothing or "-" in requests.path


def idle_below_max(cpu: CpuEstimate) -> Iterator[ConfigError]:
    """The CPU draws most at full load."""
    if cpu.idle_watts is not None and cpu.max_watts is not None and cpu.idle_watts > cpu.max_watts:
        yield ConfigError("idle_watts", f"must be at most max_watts ({cpu.max_watts:g}), not {cpu.idle_watts:g}")


def sources_go_together(power: PowerSettings) -> Iterator[ConfigError]:
    """No energy is metered twice."""
    if "auto" in power.source and len(power.source) > 1:
        yield ConfigError("source", "`auto` stands alone: it chooses by itself")
    if "none" in power.source and len(power.source) > 1:
        yield ConfigError("source", "`none` stands alone: it meters nothing")
    if set(power.source) >= _SAME_ENERGY:
        yield ConfigError("source", "`rapl` and `cpu` meter the same energy, which would be counted twice; keep one")


def recording_is_named(power: PowerSettings) -> Iterator[ConfigError]:
    """Somebody who wants a recording says which."""
    if "recording" in power.source and power.recording.path is None:
        yield ConfigError("recording.path", "name the recording to play: power.source is `recording`")


def dcgm_is_named(power: PowerSettings) -> Iterator[ConfigError]:
    """Somebody who wants a dcgm-exporter asked says where it is, and no GPU is metered twice."""
    if "dcgm" in power.source and power.dcgm.url is None:
        yield ConfigError("dcgm.url", "name dcgm-exporter's page, http://NODE:9400/metrics: power.source is `dcgm`")
    if set(power.source) >= _SAME_GPUS:
        yield ConfigError("source", "`nvml` and `dcgm` meter the same GPUs, which would be counted twice; keep one")


def one_way_to_be_let_in(dcgm: DcgmSettings) -> Iterator[ConfigError]:
    """A token, or a user with a password; and neither where everybody sees it."""
    if dcgm.url is not None and "@" in urlsplit(dcgm.url).netloc:
        yield ConfigError("url", "leave out name and password: set `user` and `password_file`")
    if dcgm.token_file is not None and dcgm.user is not None:
        yield ConfigError("user", "leave it out, or `token_file`: one way to be let in")
    if (dcgm.user is None) != (dcgm.password_file is None):
        yield ConfigError("password_file", "`user` and `password_file` go together")
    if dcgm.namespace is not None and dcgm.pod is None:
        yield ConfigError("namespace", "leave it out, or name the `pod`")


def times_go_together(times: AttributionSettings) -> Iterator[ConfigError]:
    """Slice <= settle <= horizon, and the horizon fits into memory."""
    settle, horizon = (
        written_duration(times.settle_seconds),
        written_duration(times.horizon_seconds),
    )
    grain = written_duration(times.slice_seconds)
    if times.slice_seconds > times.settle_seconds:
        yield ConfigError("slice", f"must be at most settle ({settle}), not {grain}")
    if times.settle_seconds > times.horizon_seconds:
        yield ConfigError("settle", f"must be at most horizon ({horizon}), not {settle}")
    if times.horizon_seconds > _MOST_SLICES * times.slice_seconds:
        yield ConfigError("horizon", f"must be at most {_MOST_SLICES} slices of {grain}, not {horizon}")


def names_are_unique(settings: Settings) -> Iterator[ConfigError]:
    """The name is the label that tells servers apart."""
    first: dict[str, int] = {}
    for index, server in enumerate(settings.servers):
        if first.setdefault(server.name, index) != index:
            problem = f"'{server.name}' is already the name of servers[{first[server.name]}]"
            yield ConfigError(f"servers[{index}].name", problem)


def standard_input_is_read_once(settings: Settings) -> Iterator[ConfigError]:
    """What one reader took from it, another never sees."""
    readers = [
        index
        for index, server in enumerate(settings.servers)
        for requests in server.requests
        if reads_standard_input(requests)
    ]
    for index in readers[1:]:
        yield ConfigError(
            f"servers[{index}].requests.path",
            f"standard input (`-`) is already read by servers[{readers[0]}]; name a file",
        )


def gpus_are_metered(settings: Settings) -> Iterator[ConfigError]:
    """A server's GPUs are among those metered, where both are named."""
    metered = settings.power.gpus
    for index, server in enumerate(settings.servers):
        if isinstance(metered, tuple) and isinstance(server.gpus, tuple):
            for gpu in (gpu for gpu in server.gpus if gpu not in metered):
                yield ConfigError(
                    f"servers[{index}].gpus",
                    f"'{gpu}' is not in power.gpus ({', '.join(metered)}), so it is not metered",
                )


def budgets_are_of_somebody(settings: Settings) -> Iterator[ConfigError]:
    """Each budget has a name of its own, and is of a server that there is."""
    names = [budget.name for budget in settings.budgets]
    servers = {server.name for server in settings.servers}
    for index, budget in enumerate(settings.budgets):
        if budget.name in names[:index]:
            problem = f"'{budget.name}' is already the name of budgets[{names.index(budget.name)}]"
            yield ConfigError(f"budgets[{index}].name", problem)
        if budget.server is not None and budget.server not in servers:
            problem = f"no server is called '{budget.server}'{suggestion(budget.server, sorted(servers))}"
            yield ConfigError(f"budgets[{index}].server", problem)


def nothing_metered_serves_nobody(settings: Settings) -> Iterator[ConfigError]:
    """Without a meter there are no GPUs to choose from."""
    if settings.power.source == ("none",):
        for index, server in enumerate(settings.servers):
            if server.gpus != "all":
                problem = "leave it out: power.source is `none`, so no GPU is metered to choose from"
                yield ConfigError(f"servers[{index}].gpus", problem)
