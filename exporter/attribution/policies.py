"""The attribution policies by name: a new one is one file and one line here."""

from collections.abc import Callable, Mapping

from exporter.attribution.policy import AttributionPolicy
from exporter.attribution.steps import StepsPolicy
from exporter.attribution.time import TimePolicy
from exporter.attribution.tokens import TokensPolicy
from exporter.domain.settings import PolicyName

POLICIES: Mapping[PolicyName, Callable[[], AttributionPolicy]] = {
    "time": TimePolicy,
    "tokens": TokensPolicy,
    "steps": StepsPolicy,
}
