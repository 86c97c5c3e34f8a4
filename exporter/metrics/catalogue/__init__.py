"""Every metric family, declared once. Exposition, documentation and checks of dashboards all read it from here.

Names follow Prometheus: base units, `_total` for counters, `_info` for facts. Every label has a closed or bounded set
of values; ids, users and prompts are never labels. A shipped name or label never changes meaning.
"""

from exporter.metrics.catalogue import attribution, budgets, components, energy, itself, proxies, requests
from exporter.metrics.catalogue.family import Family

CATALOGUE: tuple[Family, ...] = (
    *requests.FAMILIES,
    *energy.FAMILIES,
    *attribution.FAMILIES,
    *proxies.FAMILIES,
    *budgets.FAMILIES,
    *components.FAMILIES,
    *itself.FAMILIES,
)
"""In the order of the page."""
