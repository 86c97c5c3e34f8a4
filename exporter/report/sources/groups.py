"""Exporters, some at a time: so that no answer is too large, for us or for Prometheus. Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from exporter.report.sources.series import Target

_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
"""Only these: a name in which more is escaped is no plain name to Prometheus, and is sought in all series."""


def groups(targets: Iterable[Target], most: int) -> Iterator[tuple[Sequence[Target], str]]:
    """The targets, about so many at a time, and matchers that find them; perhaps others of the same instances too."""
    by_instance: dict[str, list[Target]] = {}
    for target in targets:
        by_instance.setdefault(dict(target).get("instance", ""), []).append(target)
    group: list[Target] = []
    instances: list[str] = []
    for instance in sorted(by_instance):
        if instances and len(group) + len(by_instance[instance]) > most:
            yield group, _at(instances)
            group, instances = [], []
        group += by_instance[instance]
        instances.append(instance)
    if instances:
        yield group, _at(instances)


def _at(instances: Iterable[str]) -> str:
    return f"instance=~{json.dumps('|'.join(_META.sub(_escaped, one) for one in instances), ensure_ascii=False)}"


def _escaped(found: re.Match[str]) -> str:
    return "\\" + found[0]
