"""The proxies by name: a new one is one file and one line in each table here."""

from collections.abc import Callable, Mapping

from exporter.domain.settings import ProxyName
from exporter.proxy import affine_time, peak, step_model, time, time_share, tokens
from exporter.proxy.linear import GivenProxy, LinearProxy, causes, times
from exporter.proxy.proxy import Features, Floats, LastingProxy, Term

TERMS: Mapping[ProxyName, tuple[Term, ...]] = {
    "time": time.TERMS,
    "affine_time": affine_time.TERMS,
    "time_share": time_share.TERMS,
    "tokens": tokens.TERMS,
    "step_model": step_model.TERMS,
    "peak": peak.TERMS,
}

PROXIES: Mapping[ProxyName, Callable[[float | None], LastingProxy]] = {
    "time": lambda _: LinearProxy(time.TERMS),
    "affine_time": lambda _: LinearProxy(affine_time.TERMS),
    "time_share": lambda _: LinearProxy(time_share.TERMS),
    "tokens": lambda _: LinearProxy(tokens.TERMS),
    "step_model": lambda _: LinearProxy(step_model.TERMS),
    "peak": lambda limit_watts: GivenProxy(peak.TERMS, limit_watts),
}
"""Makes a new proxy for devices that may draw so many watts together; None where they do not tell."""

UNITS: Mapping[ProxyName, Mapping[str, str]] = {
    name: {term.name: term.unit for term in terms} for name, terms in TERMS.items()
}
"""Each proxy's terms and the units of their coefficients."""


def predict_with(name: ProxyName, coefficients: Mapping[str, float], seen: Features) -> Floats:
    """Joules of each row by coefficients learned elsewhere; NaN where a cause is not known.

    Raises:
        ValueError: the coefficients are not those of this proxy's terms, or one is negative or not finite.
    """
    check_coefficients(name, coefficients)
    terms = TERMS[name]
    return times(causes(terms, seen), [coefficients[term.name] for term in terms])


def check_coefficients(name: ProxyName, coefficients: Mapping[str, float]) -> None:
    """Whether these coefficients can be this proxy's.

    Raises:
        ValueError: they are not those of its terms, or one is negative or not finite; in words for a person.
    """
    wanted = UNITS[name]
    if set(coefficients) != set(wanted):
        raise ValueError(f"proxy `{name}` has the terms {_listed(wanted)}, not {_listed(coefficients)}")
    for term, value in coefficients.items():
        if not 0.0 <= value < float("inf"):
            raise ValueError(f"coefficient `{term}` of proxy `{name}` is {value}: it must be finite and not negative")


def _listed(terms: Mapping[str, object]) -> str:
    return ", ".join(f"`{term}`" for term in sorted(terms)) or "none"
