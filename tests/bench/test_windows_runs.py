"""The benchmark of energy windows still runs. No figure is judged: machines differ."""

from tests.bench.windows import QUICK, rows


def test_the_table_has_a_row_a_case_and_says_what_was_lost() -> None:
    lines = list(rows(QUICK))
    assert len({line.count("|") for line in lines}) == 1
    told_and_lost = [line.split(" | ")[-2:] for line in lines[2:]]
    assert told_and_lost == [["0", "0 |"], ["20", "0 |"], ["40", "0 |"], ["20", "0 |"], ["0", "20 |"]]
