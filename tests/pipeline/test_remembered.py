from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from exporter.pipeline.remembered import Remembered

MOST = 5
NAMES = [f"request-{number}" for number in range(9)]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.floats(0.0, 1e9), st.floats(0.0, 1e9)), max_size=40))
def test_it_remembers_what_a_plain_ordered_mapping_of_its_size_would(
    told: list[tuple[str, float, float]],
) -> None:
    remembered, plain = Remembered(MOST), OrderedDict[str, tuple[float, float]]()
    for id_, start, end in told:
        remembered.add(id_, start, end)
        plain[id_] = (start, end)
        if len(plain) > MOST:
            plain.popitem(last=False)
    assert {name: remembered.get(name) for name in NAMES} == {name: plain.get(name) for name in NAMES}
    assert [name in remembered for name in NAMES] == [name in plain for name in NAMES]


def test_nothing_is_known_after_forgetting() -> None:
    remembered = Remembered()
    remembered.add("a", 1.0, 2.0)
    remembered.clear()
    assert "a" not in remembered
    assert remembered.latest() == []


def test_the_latest_are_known_after_a_restart_even_where_ids_hash_otherwise() -> None:
    before, after = Remembered(), Remembered()
    for number in range(3000):
        before.add(str(number), float(number), number + 0.5)
    after.add("old", 0.0, 1.0)
    after.restore(before.latest())
    assert after.get("2999") == (2999.0, 2999.5)
    assert after.get("2750") == (2750.0, 2750.5)
    assert "2749" not in after
    assert "old" not in after
    assert after.latest() == before.latest()
