"""What a user may choose of a simulation, and what follows from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from exporter.domain.errors import UsageError
from exporter.domain.settings import BudgetSettings, ListenAddress, RequestSettings, ServerSettings, Settings
from exporter.simulate.arrivals import OVERLOAD, PATTERNS, Pattern, PatternName, arrivals, rate_for
from exporter.simulate.engine import CHUNKED
from exporter.simulate.facts import READER_OPTIONS
from exporter.simulate.faults import FaultName
from exporter.simulate.journal import FACTS, VLLM
from exporter.simulate.load import Request
from exporter.simulate.physics import FITS, TDP_WATTS, Fit, fit_of, served
from exporter.simulate.replica import Replica
from exporter.simulate.source import uuid_of

MOST_GPUS = 64
DEFAULT_BATCH = 4.0
IDLE_SECONDS = 3.0
"""Before the first request comes by itself, so that there is an idle power to be learned."""

WINDOWS = {"simulated-hour": 3_600.0, "simulated-day": 86_400.0}
"""Energy budgets of a window, by name."""

REQUEST_JOULES = 400.0
REQUEST_OBJECTIVE = 0.95
"""Energy budget of a request, for each GPU of a replica: of the usual load nearly one in twenty takes more."""

LogName = Literal["jsonl", "vllm"]
LISTEN = ListenAddress("127.0.0.1", 9460)
MODELS = tuple(fit.model for fit in FITS)


@dataclass(frozen=True, slots=True)
class Plan:
    """A simulation.

    Attributes:
        model: one of `MODELS`. gpus: boards of all replicas together; None: two replicas' worth.
        load: how often clients come. rate: arrivals a second in all; None: as many as make `batch` requests run at
            once in each replica on average.
        day_seconds: length of a day of load `diurnal`.
        duration_seconds: when it ends by itself; None: never.
        budget: what the energy budgets allow, as a share of what all boards would use at full power.
        listen: where the exporter serves. port: where the simulated servers do, on the same host.
        directory: where the logs go; None: to a temporary one that is deleted at the end.
        log: which of its logs the exporter reads.
        faults: which happen, one every `fault_every_seconds`.
        seed: of all chance.
    """

    model: str = MODELS[0]
    gpus: int | None = None
    load: PatternName = "steady"
    rate: float | None = None
    batch: float = DEFAULT_BATCH
    day_seconds: float = 600.0
    duration_seconds: float | None = None
    budget: float = 0.5
    listen: ListenAddress = LISTEN
    port: int = 8000
    directory: Path | None = None
    log: LogName = "jsonl"
    faults: tuple[FaultName, ...] = ()
    fault_every_seconds: float = 60.0
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated.

        Raises:
            UsageError: says what can.
        """
        if self.model not in MODELS:
            raise UsageError(f"--model {self.model}: there is no published fit of it; one of {', '.join(MODELS)}")
        if self.load not in PATTERNS:
            raise UsageError(f"--load {self.load}: one of {', '.join(PATTERNS)}")
        each = self.fit.gpus
        if self.gpus is not None and not (0 < self.gpus <= MOST_GPUS and self.gpus % each == 0):
            raise UsageError(
                f"--gpus {self.gpus}: {self.model} takes {each} a replica, so a multiple of {each}, at most {MOST_GPUS}"
            )
        if not 0.0 < self.batch <= CHUNKED.max_num_seqs:
            raise UsageError(f"--batch {self.batch:g}: above 0 and at most {CHUNKED.max_num_seqs}")
        if self.rate is not None and not 0.0 < self.rate <= 1000.0:
            raise UsageError(f"--rate {self.rate:g}: above 0 and at most 1000 a second; --load none sends nothing")
        if not 0.0 < self.budget <= 1.0:
            raise UsageError(f"--budget {self.budget:g}: above 0 and at most 1, a share of full power")

    @property
    def fit(self) -> Fit:
        """Published step energy of the model."""
        return fit_of(self.model)

    @property
    def boards(self) -> int:
        """GPUs of all replicas."""
        return self.gpus if self.gpus is not None else 2 * self.fit.gpus

    @property
    def replicas(self) -> int:
        """How many servers there are."""
        return self.boards // self.fit.gpus

    @property
    def served_model(self) -> str:
        """The name under which the model is served: it says that it is simulated."""
        return f"simulated/{self.model}"

    @property
    def pattern(self) -> Pattern:
        """How often clients come."""
        if self.rate is not None:
            return Pattern(self.load, self.rate, self.day_seconds)
        physics = served(self.fit)
        if self.load == "overload":
            full = self.replicas * rate_for(physics, CHUNKED.max_num_seqs)
            return Pattern(self.load, OVERLOAD * full, self.day_seconds)
        return Pattern(self.load, self.replicas * rate_for(physics, self.batch), self.day_seconds)

    def build_replicas(self) -> tuple[Replica, ...]:
        """The servers, each with chance of its own."""
        physics, each = served(self.fit), self.fit.gpus
        chances = np.random.default_rng([self.seed, 1]).spawn(self.replicas)
        return tuple(
            Replica(f"simulated-{number}", physics, chance, first_gpu=number * each)
            for number, chance in enumerate(chances)
        )

    def build_load(self) -> Iterator[Request]:
        """The requests that come by themselves."""
        return arrivals(self.pattern, np.random.default_rng([self.seed, 2]), IDLE_SECONDS)

    def settings(self, directory: Path) -> Settings:
        """The exporter's configuration for watching it, where the logs are in `directory`."""
        return Settings(
            servers=tuple(self._server(number, directory) for number in range(self.replicas)),
            listen=self.listen,
            budgets=tuple(self._budgets()),
        )

    def _budgets(self) -> Iterator[BudgetSettings]:
        watts = self.budget * self.boards * TDP_WATTS
        for name, seconds in WINDOWS.items():
            yield BudgetSettings(name, watts * seconds, seconds)
        yield BudgetSettings("simulated-request", REQUEST_JOULES * self.fit.gpus, None, objective=REQUEST_OBJECTIVE)

    def _server(self, number: int, directory: Path) -> ServerSettings:
        name, each = f"simulated-{number}", self.fit.gpus
        requests = (
            RequestSettings("jsonl", (str(directory / name / FACTS),), "beginning", options=READER_OPTIONS)
            if self.log == "jsonl"
            else RequestSettings("vllm", (str(directory / name / VLLM),), "beginning")
        )
        boards = tuple(uuid_of(index) for index in range(number * each, (number + 1) * each))
        return ServerSettings(name, (requests,), model=self.served_model, gpus=boards)
