"""Exporters, some at a time."""

import re

from exporter.report.sources.groups import groups
from exporter.report.sources.series import Target


def target(instance: str, job: str = "a") -> Target:
    return frozenset({("instance", instance), ("job", job)})


def test_every_target_is_in_one_group_and_its_matcher_finds_it() -> None:
    targets = [target(f"10.0.0.{number}:9460") for number in range(25)]
    made = list(groups(targets, 10))
    assert [len(group) for group, _ in made] == [10, 10, 5]
    assert {one for group, _ in made for one in group} == set(targets)
    for group, matcher in made:
        assert matcher.count("10\\\\.0\\\\.0\\\\.") == len(group)


def test_targets_of_one_instance_stay_together() -> None:
    made = list(groups([target("a", job) for job in "xyz"] + [target("b")], 2))
    assert [len(group) for group, _ in made] == [3, 1]


def test_a_target_without_an_instance_is_found_by_the_lack_of_it() -> None:
    [(group, matcher)] = groups([frozenset({("job", "a")})], 10)
    assert len(group) == 1
    assert matcher == 'instance=~""'


def test_only_what_means_something_is_escaped() -> None:
    [(_, matcher)] = groups([target('a-b_c.d "e"\\')], 10)
    assert matcher == r'instance=~"a-b_c\\.d \"e\"\\\\"'
    assert re.fullmatch(r"a-b_c\.d \"e\"\\", 'a-b_c.d "e"\\')


def test_no_targets_make_no_group() -> None:
    assert list(groups([], 10)) == []
