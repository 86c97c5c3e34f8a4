"""A calibration: what proxies learned where energy is metered, to be carried to where it is not.

It is written as JSON (docs/CALIBRATION.md describes each key) and read back strictly: whatever is missing, unknown, of
a wrong kind or of a newer release is refused with its place, because an estimate from half a calibration would look
like any other. Writing and reading back changes nothing, to the last bit.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Any, get_args

from exporter.domain.errors import CalibrationError
from exporter.domain.readings import Device, Method, together
from exporter.domain.settings import PolicyName, ProxyName
from exporter.domain.snapshot import Ground, ScoreName
from exporter.proxy.calibration.document import LONGEST_TEXT, Place, parse
from exporter.proxy.proxies import UNITS, check_coefficients
from exporter.proxy.proxy import Coefficient

FORMAT = "llm-energy-exporter calibration"
SCHEMA = 1

Upgrade = Callable[[Mapping[str, Any]], Mapping[str, Any]]
UPGRADES: Mapping[int, Upgrade] = {}
"""By schema: how a document of it becomes one of the next."""

_MOST_SPREADS = 16


@dataclass(frozen=True, slots=True)
class Key:
    """What a calibration is of: it holds for nothing else.

    Attributes:
        gpu: product name of the devices that were metered. gpus: how many of them.
        engine, dtype, parallelism, driver: empty where not known.
        power_limit_watts: in force, of all of them together; None where not known.
    """

    model: str
    gpu: str = ""
    gpus: int = 0
    engine: str = ""
    dtype: str = ""
    parallelism: str = ""
    power_limit_watts: float | None = None
    driver: str = ""


def key_of(model: str, about: Mapping[str, str], devices: Sequence[Device]) -> Key:
    """What a calibration is of that is made now.

    Args:
        model: its name.
        about: what the operator says of the server: `engine`, `dtype`, `parallelism`.
        devices: those that serve it. Where there are GPUs the host's parts do not name the hardware.
    """
    parts = [device for device in devices if device.kind == "gpu"] or list(devices)
    return Key(
        model=_printable(model),
        gpu=_several(device.model or device.kind for device in parts),
        gpus=len(parts),
        engine=about.get("engine", ""),
        dtype=about.get("dtype", ""),
        parallelism=about.get("parallelism", ""),
        power_limit_watts=together([device.power_limit_watts for device in parts]),
        driver=_several(device.driver for device in parts),
    )


def _several(names: Iterable[str]) -> str:
    """Each name once, in order."""
    return _printable(" + ".join(dict.fromkeys(name for name in names if name)))


def _printable(text: str) -> str:
    """As `from_json` will take it: a log or a driver may say anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:LONGEST_TEXT]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was made. `exporter`: the version that made it."""

    platform: str = ""
    exporter: str = ""


@dataclass(frozen=True, slots=True)
class GroundScores:
    """How a proxy did on one ground lately; a score that is not defined is left out. `samples`: in all."""

    samples: int
    scores: Mapping[ScoreName, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a proxy with these coefficients is off for requests of one concurrency: (predicted - used) / used.

    Attributes:
        concurrency: from this to twice it.
        least, most: concurrency between which nine tenths of them lie.
        samples: requests in all. effective: how many the figures are worth, old ones having faded.
        bias: mean. size: root mean square, bias included.
        relative: the part of `size` that is in proportion to a request's energy. joules: the part that is the same for
            every request, however small it is. For the usual request they add up to `size`, as squares.
    """

    concurrency: int
    least: float
    most: float
    samples: int
    effective: float
    bias: float
    size: float
    relative: float
    joules: float


@dataclass(frozen=True, slots=True)
class ProxyCalibration:
    """One proxy.

    Attributes:
        coefficients: by term.
        grounds: how well it did.
        alone: spreads against what was metered of requests that ran alone.
        shared: spreads against shares of those that did not: what the attribution rule gave them.
    """

    coefficients: Mapping[str, Coefficient]
    grounds: Mapping[Ground, GroundScores] = field(default_factory=dict)
    alone: tuple[Spread, ...] = ()
    shared: tuple[Spread, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """All of it.

    Attributes:
        date: when it was made, in ISO 8601 with its offset from UTC.
        method: how the energy came to be known that it was learned from: only `measured` is metered by a sensor.
        policy: the attribution rule in force, from which `shared` spreads come.
        latency: how long requests take, as a latency profile tells it; empty where none was kept.
    """

    key: Key
    date: str
    machine: Machine
    method: Method
    policy: PolicyName
    proxies: Mapping[ProxyName, ProxyCalibration]
    latency: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call it: its model, its devices and its type, in characters that a file's name may have."""
        about = (self.key.model, f"{self.key.gpus}x{self.key.gpu}" if self.key.gpu else "", self.key.dtype)
        joined = "_".join(_plain(part) for part in about if part).lstrip(".-")
        return joined[:150] or "unnamed"


def to_json(calibration: Calibration) -> str:
    """The calibration as its file holds it, for `from_json` to read and for people to look at."""
    document = {
        "format": FORMAT,
        "schema": SCHEMA,
        "key": asdict(calibration.key),
        "date": calibration.date,
        "machine": asdict(calibration.machine),
        "method": calibration.method,
        "policy": calibration.policy,
        "proxies": {name: _written(proxy, UNITS[name]) for name, proxy in calibration.proxies.items()},
        "latency": dict(calibration.latency),
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def from_json(text: str, upgrades: Mapping[int, Upgrade] = UPGRADES) -> Calibration:
    """The calibration that the text holds.

    Args:
        text: what `to_json` wrote, in this release or an older one.
        upgrades: how older ones become newer ones.

    Raises:
        CalibrationError: the text is no calibration, or says something it must not: names the place.
    """
    fields = _current(parse(text, "calibration"), upgrades).fields(
        ("format", "schema", "key", "date", "machine", "method", "policy", "proxies", "latency")
    )
    return Calibration(
        key=_key(fields["key"]),
        date=_date(fields["date"]),
        machine=_machine(fields["machine"]),
        method=_one_of(fields["method"], get_args(Method)),
        policy=_one_of(fields["policy"], get_args(PolicyName)),
        proxies=_proxies(fields["proxies"]),
        latency={name: each.value for name, each in fields["latency"].entries().items()},
    )


def _plain(text: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in text)


# --- writing -------------------------------------------------------------------------------------------------------


def _written(proxy: ProxyCalibration, units: Mapping[str, str]) -> dict[str, Any]:
    return {
        "coefficients": {term: _coefficient_written(one, units[term]) for term, one in proxy.coefficients.items()},
        "grounds": {ground: asdict(one) for ground, one in proxy.grounds.items()},
        "alone": [asdict(spread) for spread in proxy.alone],
        "shared": [asdict(spread) for spread in proxy.shared],
    }


def _coefficient_written(one: Coefficient, unit: str) -> dict[str, Any]:
    return {"value": one.value, "error": one.error if math.isfinite(one.error) else None, "unit": unit}


# --- reading -------------------------------------------------------------------------------------------------------


def _current(document: Place, upgrades: Mapping[int, Upgrade]) -> Place:
    """The document in the present schema."""
    entries = document.entries()
    if "format" not in entries or entries["format"].value != FORMAT:
        raise CalibrationError("format", f"is not `{FORMAT}`: this is something else, or damaged")
    schema = document.fields(("schema",), entries)["schema"].count(least=1)
    if schema > SCHEMA:
        problem = f"{schema} is newer than this release can read (up to {SCHEMA}): update llm-energy-exporter"
        raise CalibrationError("schema", problem)
    value = document.value
    for older in range(schema, SCHEMA):
        if older not in upgrades:
            raise CalibrationError("schema", f"{older} is no longer read: make the calibration anew")
        value = upgrades[older](value)
    return Place(value)


def _key(place: Place) -> Key:
    texts = ("gpu", "engine", "dtype", "parallelism", "driver")
    fields = place.fields(("model", "gpus", "power_limit_watts", *texts))
    limit = fields["power_limit_watts"]
    return Key(
        model=fields["model"].name(),
        gpus=fields["gpus"].count(),
        power_limit_watts=None if limit.value is None else limit.number(0.0),
        **{name: fields[name].text() for name in texts},
    )


def _date(place: Place) -> str:
    try:
        aware = datetime.fromisoformat(place.text()).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise place.wanted("a date and time with an offset from UTC, such as 2026-11-21T08:00:00+00:00")
    return place.text()


def _machine(place: Place) -> Machine:
    fields = place.fields(("platform", "exporter"))
    return Machine(fields["platform"].text(), fields["exporter"].text())


def _proxies(place: Place) -> Mapping[ProxyName, ProxyCalibration]:
    entries = place.entries()
    if not entries:
        raise place.refuse("holds no proxy: there is nothing to estimate with")
    names: dict[ProxyName, Place] = {_named(name, each, get_args(ProxyName)): each for name, each in entries.items()}
    return {name: _proxy(name, each) for name, each in names.items()}


def _proxy(name: ProxyName, place: Place) -> ProxyCalibration:
    fields = place.fields(("coefficients", "grounds", "alone", "shared"))
    grounds = fields["grounds"].entries().items()
    return ProxyCalibration(
        coefficients=_coefficients(name, fields["coefficients"]),
        grounds={_named(ground, each, get_args(Ground)): _scores(each) for ground, each in grounds},
        alone=_spreads(fields["alone"]),
        shared=_spreads(fields["shared"]),
    )


def _coefficients(name: ProxyName, place: Place) -> Mapping[str, Coefficient]:
    units = UNITS[name]
    learned = {term: _coefficient(each, units[term]) for term, each in place.fields(units).items()}
    try:
        check_coefficients(name, {term: one.value for term, one in learned.items()})
    except ValueError as error:
        raise place.refuse(f"cannot be used: {error}") from None
    return learned


def _coefficient(place: Place, unit: str) -> Coefficient:
    fields = place.fields(("value", "error", "unit"))
    if fields["unit"].value != unit:
        raise fields["unit"].wanted(f"`{unit}`")
    error = fields["error"]
    return Coefficient(fields["value"].number(), math.inf if error.value is None else error.number(0.0))


def _scores(place: Place) -> GroundScores:
    fields = place.fields(("samples", "scores"))
    scores = fields["scores"].entries().items()
    return GroundScores(
        fields["samples"].count(), {_named(name, each, get_args(ScoreName)): each.number() for name, each in scores}
    )


def _spreads(place: Place) -> tuple[Spread, ...]:
    spreads = tuple(_spread(each) for each in place.items(_MOST_SPREADS))
    if [one.concurrency for one in spreads] != sorted({one.concurrency for one in spreads}):
        raise place.refuse("must be in order of concurrency, each once")
    return spreads


def _spread(place: Place) -> Spread:
    fields = place.fields([one.name for one in dataclass_fields(Spread)])
    least = fields["least"].number(1.0)
    return Spread(
        concurrency=fields["concurrency"].count(least=1),
        least=least,
        most=fields["most"].number(least),
        samples=fields["samples"].count(least=1),
        effective=fields["effective"].number(0.0),
        bias=fields["bias"].number(),
        size=fields["size"].number(0.0),
        relative=fields["relative"].number(0.0),
        joules=fields["joules"].number(0.0),
    )


def _one_of(place: Place, known: Sequence[str]) -> Any:
    if place.value not in known:
        raise place.wanted(f"one of {', '.join(known)}")
    return place.value


def _named(name: str, place: Place, known: Sequence[str]) -> Any:
    if name not in known:
        raise place.refuse(f"is not known here, where there can be {', '.join(known)}")
    return name
