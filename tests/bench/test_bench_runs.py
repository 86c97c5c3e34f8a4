"""The benchmark's parts that need no process of their own still run. No figure is judged: machines differ."""

from tests.bench.checkpoints import checkpoints
from tests.bench.cost import QUICK, Row, books_row, checkpoint_rows, table, throughput_rows
from tests.bench.throughput import put_through
from tests.bench.traffic import LOGS, OPTIONS, invented_run


def test_every_request_of_every_log_reaches_a_histogram() -> None:
    rows = list(throughput_rows(QUICK))
    assert [row.what.split(",")[0] for row in rows] == [f"throughput: {one}" for one in ("jsonl", *OPTIONS, "jsonl")]


def test_a_request_is_several_lines_in_most_logs() -> None:
    through = put_through("llamacpp", 50, rate=10.0)
    assert through.requests == 50
    assert through.lines > 4 * through.requests


def test_checkpoints_hold_something() -> None:
    assert len(list(checkpoint_rows(QUICK))) == 2
    assert all(size > 0 for size in checkpoints(1, rate=2.0, warm_up_seconds=10, count=2).sizes)


def test_the_books_hold_something() -> None:
    assert books_row(QUICK).figure.endswith("MiB")


def test_invented_requests_have_every_models_lines() -> None:
    texts = [line.text for line in LOGS["jsonl"](invented_run(9, rate=3.0))]
    assert len(texts) == 9
    assert len({text.partition('"model": ')[2] for text in texts}) == 3


def test_the_table_is_as_wide_in_every_line() -> None:
    assert len({len(line) for line in table(iter([Row("a", "1", "<= 2"), Row("b", "3")]))}) == 1
