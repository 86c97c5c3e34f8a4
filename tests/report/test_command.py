"""The command line of reports, on the recording of a real (estimated) demonstration."""

import json
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.domain.errors import ReportError, UsageError
from exporter.recording.recording import Recording
from exporter.report.account import Account
from exporter.report.asking import Asked, Sources, accounts, moment_of
from exporter.report.render import FORMATS
from tests.recording.recorded import replayed
from tests.report import made
from tests.report.reading import joules_of_books

DEMO = Path(__file__).parent.parent / "recording" / "demo.jsonl.gz"
NOW = 1_790_000_000.0


def _report(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["report", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def _books() -> dict[str, float]:
    """As the pipeline says them that is told the recording."""
    pipeline = replayed(DEMO)
    with Recording(DEMO) as recording:
        (*_, last) = recording.entries()
    at = last.now  # type: ignore[union-attr] # a recording ends with a moment
    pipeline.finish(at)
    (view,) = pipeline.snapshot(at).devices
    return {"metered": view.metered_joules, **dict(view.booked.items()), "unsettled": view.unsettled_joules}


def test_every_format_prints_the_totals_of_the_recording_s_books(capsys: pytest.CaptureFixture[str]) -> None:
    books = _books()
    assert books["metered"] > 800.0
    for how in FORMATS:
        code, out, _ = _report("--recording", str(DEMO), "--format", how, capsys=capsys)
        assert code == 0
        assert joules_of_books(out, how) == pytest.approx(books, rel=1e-9 if how == "json" else 0.0, abs=0.05)


def test_everything_that_can_be_asked_for_is_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--country", "DE", "--price", "0.25 EUR", "--pue", "1.2", "--embodied", "1500 kg/4y"]
    asked += ["--active-parameters", "8e9", "--compare", str(DEMO)]
    code, out, _ = _report("--recording", str(DEMO), "--format", "json", *asked, capsys=capsys)
    told = json.loads(out)
    assert code == 0
    assert told["schema"] == "llm-energy-report/1"
    assert {line["kind"] for line in told["footprint"]} == {"unit", "cost", "carbon", "factor"}
    assert told["sci"]["embodied_grams"] > 0.0
    assert all(one["ratio"] in (1.0, None) for one in told["comparison"]["overall"])
    assert told["totals"]["methods"] == ["estimated"]
    assert told["references"][-1]["modelled"] is True


@pytest.mark.parametrize(
    ("name", "begins"), [("a.html", "<!DOCTYPE"), ("a.md", "# "), ("a.json", "{"), ("a.txt", "Energy")]
)
def test_a_file_is_written_in_the_format_of_its_name(
    name: str, begins: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _report("--recording", str(DEMO), "--out", str(tmp_path / name), capsys=capsys)
    assert (code, out) == (0, "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--country", "Germny"], "--country Germny: not in the table; did you mean DE (Germany)"),
        (["--price", "cheap"], '--price cheap: should be what a kWh costs, with its currency, such as "0.25 EUR"'),
        (["--pue", "0.9"], "--pue 0.9: should be a number from 1 on"),
        (["--intensity", "nan"], "--intensity nan: should be a number from 0 on"),
        (["--embodied", "much"], "--embodied much: should be a mass"),
        (["--active-parameters", "8e9", "--parameters", "1e9"], "--parameters 1e+09: should be a number from 8e+09 on"),
        (["--parameters", "8e9"], "--parameters: of no use without --active-parameters"),
        (["--since", "1h"], "--since: only a Prometheus (--prometheus URL) remembers by time and label"),
        (["--match", 'a="b"'], "--match: only a Prometheus"),
        (["--recording", str(DEMO), "--compare", "2d..1d"], "--compare 2d..1d: only a Prometheus"),
        (["--prometheus", "http://localhost:1", "--since", "soon"], "--since soon: should be how long ago"),
        (["--prometheus", "http://localhost:1", "--since", "1h", "--until", "2h"], "1h..2h: the period would end"),
        (["--user", "me"], "--user and --password-file: neither is of use without the other"),
        (["--token-file", "/nowhere/token"], "/nowhere/token cannot be read"),
    ],
)
def test_wrong_usage_is_one_line_that_names_it(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _report(*arguments, capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("llm-energy-exporter: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--recording", "/nowhere/tape.jsonl.gz"], "/nowhere/tape.jsonl.gz cannot be read"),
        (["--recording", str(DEMO), "--out", "/nowhere/out.html"], "/nowhere/out.html cannot be written"),
        (["--recording", str(DEMO), "--compare", "/nowhere/tape.jsonl.gz"], "/nowhere/tape.jsonl.gz cannot be read"),
    ],
)
def test_a_failing_world_is_one_line_that_names_it(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _report(*arguments, capsys=capsys)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


# Whom to ask


def _asked(*askings: Asked) -> list[tuple[object, ...]]:
    """What sources are asked: whom and when, with which matchers, to be named how."""
    seen: list[tuple[object, ...]] = []

    def remember(*arguments: object, **options: object) -> Account:
        seen.append((*arguments, options.get("matchers"), options.get("name")))
        return made.account()

    for one in askings:
        accounts(one, Sources(remember, remember, remember))
    return seen


def test_without_a_source_the_exporter_on_this_machine_is_asked() -> None:
    assert _asked(Asked(NOW)) == [("http://127.0.0.1:9460", None, None)]


def test_where_none_was_named_and_none_answers_the_error_says_how_to_name_one() -> None:
    def nobody(*_: object, **__: object) -> Account:
        raise ReportError("http://127.0.0.1:9460 cannot be asked")

    with pytest.raises(ReportError, match=r"--exporter URL, --prometheus URL, --recording FILE"):
        accounts(Asked(NOW), Sources(running=nobody))
    with pytest.raises(ReportError, match=r"cannot be asked$"):
        accounts(Asked(NOW, exporter="http://gpu7:9460"), Sources(running=nobody))


def test_a_prometheus_is_asked_for_the_last_day_unless_told_otherwise() -> None:
    day = Asked(NOW, prometheus="http://p:9090", matchers=('a="b"', 'c="d"'))
    hour = Asked(NOW, prometheus="http://p:9090", since="2h", until="1h")
    assert _asked(day, hour) == [
        ("http://p:9090", NOW - 86_400, NOW, 'a="b",c="d"', ""),
        ("http://p:9090", NOW - 7200, NOW - 3600, "", ""),
    ]


def test_another_period_of_the_same_prometheus_stands_beside_it_and_both_are_named() -> None:
    assert sorted(_asked(Asked(NOW, prometheus="http://p:9090", compare="48h..24h")), key=str) == [
        ("http://p:9090", NOW - 172_800, NOW - 86_400, "", "2026-09-19T14:13Z to 2026-09-20T14:13Z"),
        ("http://p:9090", NOW - 86_400, NOW, "", "2026-09-20T14:13Z to 2026-09-21T14:13Z"),
    ]


def test_another_prometheus_is_asked_for_the_same_period() -> None:
    asked = _asked(Asked(NOW, prometheus="http://p:9090", since="1h", compare="https://q"))
    assert {one[:3] for one in asked} == {("http://p:9090", NOW - 3600, NOW), ("https://q", NOW - 3600, NOW)}


def test_an_exporter_may_stand_beside_a_recording() -> None:
    asked = _asked(Asked(NOW, recording=DEMO, compare="http://gpu7:9460"))
    assert {one[0] for one in asked} == {DEMO, "http://gpu7:9460"}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("90m", NOW - 5400),
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21T14:13:20", NOW),
        ("2026-09-21T16:13:20+02:00", NOW),
    ],
)
def test_a_time_is_how_long_ago_or_when(text: str, at: float) -> None:
    assert moment_of(text, NOW, "--since ") == at


def test_another_time_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"^--since yesterday: should be how long ago"):
        moment_of("yesterday", NOW, "--since ")
