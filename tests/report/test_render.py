"""One report in four formats."""

import json
import re

import pytest

from exporter.domain.readings import Method
from exporter.report.footprint import Price, Pue, carbon, cost, factors, units
from exporter.report.grid import TABLE_LICENCE, country
from exporter.report.references import ecologits
from exporter.report.render import FORMATS, Format, render
from exporter.report.render.markdown import escaped
from exporter.report.render.quantities import digits, energy, exact, mass, span
from exporter.report.render.text import WIDTH
from exporter.report.summary import Comparison, Difference, Sci
from tests.report import made
from tests.report.reading import Cells, joules_of_books

HOSTILE = "<script>alert(1)</script>|`*_\x1b[31m\n# [x](javascript:1) & \u202e\"'"


def _everything() -> list[str]:
    joules = 15_000.0
    lines = [
        *units(joules),
        cost(joules, Price(0.25, "EUR")),
        carbon(joules, country("DE").intensity),
        *factors(joules, 0.0, pue=Pue(1.2), host=True),
    ]
    sci = Sci(1.2e-4, 1.5, 0.0, ("Nothing was left out but the embodied.",))
    differences = (
        Difference("metered", "J", 15_000.0, 12_000.0, 0.8),
        Difference("latency, median", "s", 2.0, None, None),
        Difference("requests", "", 100.0, 90.0, 0.9),
    )
    comparison = Comparison("monday", "tuesday", differences, {made.MODEL: differences}, ("Tuesday was shorter.",))
    report = made.report(footprint=lines, sci=sci, comparison=comparison)
    return [render(report, how) for how in FORMATS]


@pytest.mark.parametrize("how", FORMATS)
def test_every_format_carries_the_same_totals(how: Format) -> None:
    read = joules_of_books(render(made.report(), how), how)
    assert read == {
        "metered": 15_000.0,
        "requests": 10_500.0,
        "idle": 3000.0,
        "unattributed": 1350.0,
        "unsettled": 150.0,
    }


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("simulated", "SIMULATED"),
        ("recorded", "RECORDED"),
        ("estimated", "ESTIMATED"),
        ("time_proxy", "TIME PROXY"),
    ],
)
def test_what_nobody_measured_is_said_loudly(how: Format, method: Method, word: str) -> None:
    text = render(made.report(method=method), how)
    assert text.count(method if how == "json" else word) >= 3
    assert word not in render(made.report(), how)


def test_a_simulated_report_is_called_so_in_its_title() -> None:
    assert "<title>SIMULATED: Energy report" in render(made.report(method="simulated"), "html")
    assert render(made.report(method="simulated"), "markdown").startswith("# SIMULATED: ")
    assert render(made.report(method="recorded"), "markdown").startswith("# RECORDED: ")


def test_every_format_says_every_source_and_the_licence_of_the_table() -> None:
    for text in _everything():
        plain = re.sub(r"\\", "", text)
        for words in (
            "Google, arXiv 2508.15734",
            "US EPA",
            "ML.ENERGY",
            "Ember (2026) via Our World in Data, CC BY 4.0",
        ):
            assert words in plain


def test_every_format_compares() -> None:
    for text in _everything():
        assert "Tuesday was shorter." in text
        assert all(words in text for words in ("monday", "tuesday", "0.8"))


def test_the_licence_of_the_table_stands_where_notices_stand() -> None:
    report = made.report()
    for how in FORMATS:
        with_notice = render(made.noticed(report, TABLE_LICENCE), how)
        assert "major processing by Our World in Data" in re.sub(r"\s+", " ", with_notice)


# Names that would do harm


def test_a_hostile_name_is_only_words_in_html() -> None:
    page = render(made.renamed(made.report(model=HOSTILE), HOSTILE), "html")
    cells = Cells(page)
    assert {tag for tag, _ in cells.tags}.isdisjoint({"script", "img", "a", "link", "iframe"})
    assert any(row[0].startswith(HOSTILE.replace("\x1b", "")[:8]) for row in cells.rows)
    assert "<script" not in page


def test_a_hostile_name_is_only_words_in_markdown() -> None:
    text = render(made.renamed(made.report(model=HOSTILE), HOSTILE), "markdown")
    rows = [line for line in text.splitlines() if "alert" in line and line.startswith("|")]
    assert len(rows) == 2  # the leaderboard, and beside published figures
    for row in rows:
        assert "<script" not in row
        assert "\\|\\`\\*\\_" in row
    assert "\x1b" not in text
    assert "\n# \\[x" not in text


def test_a_row_of_markdown_has_as_many_cells_as_its_head_whatever_it_is_called() -> None:
    lines = render(made.report(model=HOSTILE), "markdown").splitlines()
    tables = [line for line in lines if line.startswith("|")]
    counts = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    heads = {number for number, line in zip(counts, tables, strict=True) if set(line) <= set("|-: ")}
    assert set(counts) == heads


def test_a_terminal_is_told_no_command() -> None:
    text = render(made.renamed(made.report(model=HOSTILE), HOSTILE), "text")
    assert all(sign == "\n" or sign.isprintable() for sign in text)
    assert "\\x1b[31m\\n" in text


def test_a_name_of_two_lines_stays_in_its_line_of_markdown() -> None:
    assert escaped("one\n## two") == "one \\#\\# two"


# Looks


def test_a_terminal_of_110_columns_is_wide_enough() -> None:
    long = made.renamed(made.report(model="a-very-long-name/" * 9), "https://prometheus.example/" + "x" * 150)
    assert max(map(len, render(long, "text").splitlines())) <= WIDTH
    assert max(map(len, _everything()[0].splitlines())) <= WIDTH


def test_a_page_brings_all_it_needs_and_runs_nothing() -> None:
    cells = Cells(_everything()[FORMATS.index("html")])
    assert not [attributes for _, attributes in cells.tags if {"src", "href", "style", "onload"} & set(attributes)]
    assert {tag for tag, _ in cells.tags}.isdisjoint({"script", "img", "link"})


def test_the_bar_has_a_piece_for_each_share_as_wide_as_it_is() -> None:
    cells = Cells(render(made.report(), "html"))
    pieces = {a["class"]: float(a["width"] or 0) for tag, a in cells.tags if tag == "rect" and a.get("height") == "28"}
    assert pieces == {"requests": 700.0, "idle": 200.0, "unattributed": 90.0, "unsettled": 10.0}


def test_what_is_not_known_is_null_for_programs_and_a_dash_for_people() -> None:
    report = made.report()
    board = json.loads(render(report, "json"))["leaderboard"]
    assert board[1]["joules"] is None
    assert board[1]["joules_per_request"] is None
    assert re.search(r"^nobody-knows +3 +0 +\N{EN DASH}", render(report, "text"), re.MULTILINE)


def test_no_country_means_no_carbon_and_says_how_to_have_it() -> None:
    assert json.loads(render(made.report(), "json"))["sci"] is None
    assert "--country" in render(made.report(), "text")


def test_json_tells_of_no_single_request() -> None:
    usages = json.loads(render(made.report(), "json"))["account"]["usages"]
    assert set(usages[0]["energy_joules"]) == {"bounds", "counts", "sum"}


def test_a_formula_is_called_a_published_model() -> None:
    report = made.referred(made.report(), ecologits(8e9))
    for how in ("text", "markdown", "html"):
        assert "PUBLISHED MODEL" in render(report, how)


def test_one_s_own_row_stands_among_the_published_by_its_joules_per_token() -> None:
    rows = [row for row in Cells(render(made.report(), "html")).rows if len(row) == 5 and row[0] != "model"]
    figures = [float(row[2]) for row in rows]
    assert figures == sorted(figures)
    assert [row[4] for row in rows].count("YOURS, measured") == 1


# Quantities


@pytest.mark.parametrize(
    ("joules", "text"),
    [
        (0.0, "0 J"),
        (0.001, "0.001 J"),
        (999.0, "999 J"),
        (1500.0, "1.5 kJ"),
        (-1500.0, "-1.5 kJ"),
        (3.6e5, "0.1 kWh"),
        (4.443e6, "1.234 kWh"),
        (3.6e10, "10 MWh"),
    ],
)
def test_energy_has_the_unit_that_suits(joules: float, text: str) -> None:
    assert energy(joules) == text


def test_exact_joules_are_exact() -> None:
    assert exact(1234567.84) == "1\u202f234\u202f567.8"
    assert exact(-0.25) == "-0.2"


def test_what_is_not_nothing_is_never_written_as_nothing() -> None:
    assert digits(1.39e-6) == "0.00000139"
    assert digits(1.234e-9) == "1.234e-09"


def test_masses_and_spans_have_the_unit_that_suits() -> None:
    assert [mass(grams) for grams in (2e-6, 0.5, 381.0, 1200.0, 3.4e6)] == [
        "2 \N{MICRO SIGN}g",
        "500 mg",
        "381 g",
        "1.2 kg",
        "3.4 t",
    ]
    assert [span(seconds) for seconds in (90.0, 900.0, 86_400.0, 2.592e6)] == ["90 s", "15 min", "24 h", "30 d"]
