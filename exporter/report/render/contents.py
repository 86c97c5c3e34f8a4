"""What a report says, in which words and in which order, whatever it will look like."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from exporter.domain.events import Outcome
from exporter.domain.readings import Method
from exporter.report.account import DeviceBook
from exporter.report.footprint import Line, LineKind
from exporter.report.render.comparing import compared
from exporter.report.render.document import Bar, Caution, Cell, Column, Document, Loud, Part, Section, Table, plain
from exporter.report.render.quantities import NOTHING, digits, energy, exact, mass, moment, share, span
from exporter.report.summary import Reference, Report, Sci, Standing, Totals
from exporter.server.quantities import count, seconds

_OUTCOMES = get_args(Outcome)
_MOST_DEVICES = 40
_OFF_BY = 1e-6
_HOW: Mapping[Method, Cell] = {
    "measured": "measured",
    "estimated": Loud("ESTIMATED"),
    "simulated": Loud("SIMULATED"),
    "recorded": Loud("RECORDED"),
    "time_proxy": Loud("TIME PROXY"),
}
_DOUBTS: Mapping[Method, Caution] = {
    "simulated": Caution("SIMULATED.", "Nothing real used this energy: it is made up by a model."),
    "recorded": Caution(
        "RECORDED, not measured here.", "Power is played from a recording: the requests beside it did not draw it."
    ),
    "estimated": Caution("ESTIMATED, not measured.", "Joules come from a model of the device, not from a sensor."),
    "time_proxy": Caution("TIME PROXY, not measured.", "A calibration predicts joules from time; no meter sees them."),
}


def document(report: Report) -> Document:
    """All of it, as words and tables."""
    account = report.account
    return Document(
        title=f"{_loudest(report.totals.methods)}Energy report: {account.name}",
        about=(f"From {account.origin}: {moment(account.begin)} to {moment(account.end)}, {span(account.seconds)}.",),
        cautions=tuple(_cautions(report.totals.methods, account.cautions)),
        sections=tuple(section for section in _sections(report) if section.parts),
        notices=(
            *report.notices,
            f"Made by llm-energy-exporter {report.version} on {moment(report.made)}.",
        ),
    )


def how(method: Method | None) -> Cell:
    """How energy came to be known: loud where nobody measured it."""
    return NOTHING if method is None else _HOW[method]


def _loudest(methods: Sequence[Method]) -> str:
    return "SIMULATED: " if "simulated" in methods else "RECORDED: " if "recorded" in methods else ""


_TOLD_BY: Mapping[Method, str] = {
    "simulated": "SIMULATED",
    "recorded": "RECORDED",
    "time_proxy": "by a calibration",
    "estimated": "ESTIMATED",
}
"""Words by which a caution is known to be of a method."""


def _cautions(methods: Sequence[Method], texts: Sequence[str]) -> Iterator[Caution]:
    """What nobody measured first, unless the account says it with more detail."""
    told = {text: next((method for method, words in _TOLD_BY.items() if words in text), None) for text in texts}
    for method, doubt in _DOUBTS.items():
        if method in methods and method not in told.values():
            yield Caution(f"PARTLY {doubt.loud}", doubt.text) if len(set(methods)) > 1 else doubt
    for text, of in told.items():
        yield Caution("Beware." if of is None else _DOUBTS[of].loud, text)


def _sections(report: Report) -> Iterator[Section]:
    yield Section("Books", _books(report.totals, report.account.books))
    yield Section("Devices", _devices(report.account.books))
    yield Section("Requests", _requests(report.totals))
    yield Section("Leaderboard", _leaderboard(report.standings))
    yield Section("Joules per output token, beside published figures", _beside(report.standings, report.references))
    yield Section("Units people feel", _lines(report.footprint, "unit", "The metered energy, in other words."))
    yield Section("Cost", _lines(report.footprint, "cost", "Rests on the price, not on a meter."))
    yield Section("Carbon", _carbon(report))
    yield Section("Not metered", _lines(report.footprint, "factor", _FACTORS))
    yield Section("SCI for AI, per output token", _sci(report.sci))
    if report.comparison is not None:
        yield from compared(report.comparison)


# Books


def _books(totals: Totals, books: Sequence[DeviceBook]) -> list[Part]:
    rows = _shares(totals)
    table = Table(
        (Column("", words=True), Column("energy"), Column("joules"), Column("of metered")),
        [
            (name, energy(joules), exact(joules), share(joules, totals.metered_joules))
            for name, joules in (("metered", totals.metered_joules), *rows)
        ],
    )
    return [table, Bar(rows), _balance(books)]


def _shares(totals: Totals) -> tuple[tuple[str, float], ...]:
    return (
        ("requests", totals.request_joules),
        ("idle", totals.idle_joules),
        ("unattributed", totals.unattributed_joules),
        ("unsettled", totals.unsettled_joules),
    )


def _balance(books: Sequence[DeviceBook]) -> str:
    worst = max((book.off_by for book in books), default=0.0)
    if worst <= _OFF_BY:
        return "Metered = requests + idle + unattributed + unsettled, for every device."
    return f"Rows do not add up to what was metered: by up to {100.0 * worst:.2g} % of a device's energy."


def _devices(books: Sequence[DeviceBook]) -> list[Part]:
    if not books:
        return []
    shown = books if len(books) <= _MOST_DEVICES else sorted(books, key=lambda book: -book.metered_joules)
    heads = ("metered", "requests", "idle", "unattributed", "unsettled")
    product, known = Column("product", words=True, aside=True), Column("how known", words=True)
    columns = (Column("device", words=True), *map(Column, heads), known, product)
    left = len(books) - _MOST_DEVICES
    more = [f"And {count(left)} more devices, which used less: the JSON has all of them."] if left > 0 else []
    return [Table(columns, [_device(book) for book in shown[:_MOST_DEVICES]]), *more]


def _device(book: DeviceBook) -> Sequence[Cell]:
    booked = (book.booked.get("requests", 0.0), book.booked.get("idle", 0.0), book.booked.get("unattributed", 0.0))
    parts = map(energy, (book.metered_joules, *booked, book.unsettled_joules))
    name = f"{book.place} {book.device.name}" if book.place else book.device.name
    return (name, *parts, how(book.device.method), book.device.model)


# Requests


def _requests(totals: Totals) -> list[Part]:
    counted = [
        *(
            (f"requests: {outcome}", count(totals.requests[outcome]))
            for outcome in _OUTCOMES
            if outcome in totals.requests
        ),
        ("input tokens", count(totals.input_tokens)),
        ("output tokens", count(totals.output_tokens)),
    ]
    tokens = totals.output_tokens
    if tokens > 0:
        counted += [
            ("joules of requests per output token", digits(totals.request_joules / tokens)),
            ("joules metered per output token, idle included", digits(totals.metered_joules / tokens)),
        ]
    return [Table((Column("", words=True), Column("")), counted)]


def _leaderboard(standings: Sequence[Standing]) -> list[Part]:
    if not standings:
        return ["No request settled in this time."]
    numbers = (
        "requests", "tokens out", "J/request", "p50", "p95", "J/token", "latency p50", "p95", "idle"
    )  # fmt: skip
    asides = ("hardware", "engine", "servers")
    columns = (
        Column("model", words=True),
        *map(Column, numbers),
        Column("how known", words=True),
        *(Column(name, words=True, aside=True) for name in asides),
    )
    return [Table(columns, [_standing(one) for one in standings]), _LEADERBOARD]


_LEADERBOARD = (
    "J/request: mean, median and 95th percentile of settled requests. J/token: all their joules over all their output "
    "tokens. idle: of what their devices used. A dash: not known."
)


def _standing(one: Standing) -> Sequence[Cell]:
    return (
        one.model,
        count(one.requests),
        count(one.output_tokens),
        _or_nothing(one.joules_per_request),
        _or_nothing(one.joules_per_request_p50),
        _or_nothing(one.joules_per_request_p95),
        _or_nothing(one.joules_per_output_token),
        NOTHING if one.latency_p50_seconds is None else seconds(one.latency_p50_seconds),
        NOTHING if one.latency_p95_seconds is None else seconds(one.latency_p95_seconds),
        NOTHING if one.idle_share is None else f"{100.0 * one.idle_share:.1f} %",
        how(one.method),
        one.hardware or NOTHING,
        one.engine or NOTHING,
        ", ".join(one.servers),
    )


def _or_nothing(value: float | None) -> str:
    return NOTHING if value is None else digits(value)


def _beside(standings: Sequence[Standing], references: Sequence[Reference]) -> list[Part]:
    if not references:
        return []
    own = [(one.joules_per_output_token, _yours(one)) for one in standings if one.joules_per_output_token is not None]
    others = [(one.joules_per_output_token, _reference(one)) for one in references]
    columns = (
        Column("model", words=True),
        Column("batch"),
        Column("J/token"),
        Column("hardware", words=True),
        Column("by", words=True),
        Column("source", words=True, aside=True),
    )
    return [Table(columns, [row for _, row in sorted((*own, *others), key=lambda known: known[0])]), _BESIDE]


_BESIDE = "Published figures are of other machines and loads: far off them, doubt the measurement first."


def _yours(one: Standing) -> Sequence[Cell]:
    known = Loud(f"YOURS, {plain(how(one.method))}")
    return one.model, "", _or_nothing(one.joules_per_output_token), one.hardware or NOTHING, known, ""


def _reference(one: Reference) -> Sequence[Cell]:
    by = Loud("PUBLISHED MODEL") if one.modelled else "published"
    return one.model, count(one.batch), digits(one.joules_per_output_token), one.hardware, by, one.source


# Footprint


_FACTORS = (
    "Energy that no meter here saw, by multipliers that others published or you gave. "
    "None of it is in the metered joules; what it is in says so."
)
_NO_CARBON = "Nobody said where: without a country (--country) or an intensity (--intensity) there are joules only."


def _lines(lines: Sequence[Line], kind: LineKind, meaning: str) -> list[Part]:
    chosen = [line for line in lines if line.kind == kind]
    if not chosen:
        return []
    source = Column("source", words=True, aside=True)
    columns = (Column("", words=True), Column(""), Column("by", words=True), source)
    return [meaning, Table(columns, [_line(line) for line in chosen])]


def _line(line: Line) -> Sequence[Cell]:
    return line.name, _amount(line), line.factor, line.source if line.modelled else ""


def _amount(line: Line) -> str:
    return f"{mass(line.value)} CO2e" if line.unit == "g CO2e" else f"{digits(line.value)} {line.unit}"


def _carbon(report: Report) -> list[Part]:
    return _lines(report.footprint, "carbon", "Rests on the intensity, not on a meter.") or [_NO_CARBON]


def _sci(sci: Sci | None) -> list[Part]:
    if sci is None:
        return []
    rows = [
        ("score", f"{mass(sci.grams_per_token)} CO2e per output token"),
        ("per million output tokens", f"{mass(sci.grams_per_token * 1e6)} CO2e"),
        ("energy", f"{digits(sci.joules_per_token)} J per output token"),
        ("embodied", f"{mass(sci.embodied_grams)} CO2e" if sci.embodied_grams > 0.0 else "left out"),
    ]
    return [Table((Column("", words=True), Column("")), rows), *sci.notes]
