"""The benchmarks' parts that need no process of their own still run. No figure is judged: machines differ."""

from exporter.domain.settings import Settings
from tests.bench import blind_spots, collecting, failures, gateway, proxies, schooling
from tests.bench.checkpoints import checkpoints
from tests.bench.cost import QUICK, Row, books_row, checkpoint_rows, table, throughput_rows
from tests.bench.throughput import put_through
from tests.bench.traffic import LOGS, OPTIONS, invented_run
from tests.simulation.scenarios import Scenario, batch_run


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


def test_the_tables_of_proxies_have_a_row_a_batch() -> None:
    tables = proxies.tables_of(0, 300.0, {"calibrated": (4,)}, batches=(1, 4))
    lines = [line for line in proxies.written([tables, tables]) if line.startswith("| ")]
    worst = ["| ", "| calibrated", f"| {proxies.LEARNING}"]
    assert [line.split(" | ")[0] for line in lines] == ["| mean batch", "| 1", "| 4"] * 2 + worst
    assert {line.count("|") for line in lines} == {2 + len(Settings().proxies)}


def test_the_table_of_blind_spots_has_a_row_a_sight() -> None:
    lines = list(blind_spots.written([blind_spots.answers_of(0, 300.0, batches=(4,))]))
    assert len(lines) == 2 + len(blind_spots.SIGHTS)
    cells = dict(zip(schooling.NAMES, lines[-1].split(" | ")[1:], strict=True))
    assert cells["tokens"] == cells["step_model"] == "silent", "they need tokens, and there are none"


def test_a_table_of_failures_has_a_row_an_exam() -> None:
    lines = [line for line in failures.written("clocks", 300.0) if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines] == ["| used on", "| as calibrated", "| lower clock"]


def test_nothing_has_no_sign_and_small_figures_have_a_digit_more() -> None:
    assert [schooling.signed(part) for part in (-0.0003, 0.0312, -0.123, 49.36)] == [
        "0.0 %",
        "+3.1 %",
        "-12 %",
        "+4936 %",
    ]
    assert schooling.percent(0.0994) == "9.9 %"


def test_the_gateways_table_has_a_row_a_way() -> None:
    ways = {"direct": gateway.direct, "gateway": gateway.gateway}
    lines = list(gateway.table(gateway.rows(ways, gateway.QUICK), gateway.QUICK.crowds))
    assert [line.split(" | ")[0] for line in lines] == ["| way", "|---|---|---|---|---|---|", "| direct", "| gateway"]
    assert len({line.count("|") for line in lines}) == 1


def test_power_that_is_collected_seldom_is_metered_whole() -> None:
    run = batch_run(Scenario(), 0, mean_batch=2.0, seconds=60.0)
    assert abs(collecting.score(run, 10.0).metered) < 0.1
