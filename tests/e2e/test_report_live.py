"""A real Prometheus scrapes a real exporter that is restarted without its state: a report still knows every joule."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from exporter.report.leaderboard import standings
from exporter.report.sources import prometheus, running
from exporter.report.totals import totals
from tests.e2e.exporter_process import RunningExporter, running_exporter
from tests.e2e.prometheus import Prometheus, running_prometheus
from tests.e2e.web import free_port, wait_until

pytestmark = pytest.mark.e2e

PATIENCE_SECONDS = 60.0
TRAINING = {
    "power": {"source": "cpu"},
    "servers": [{"name": "train", "about": {"engine": "a loop"}, "requests": {"source": "push"}}],
    "attribution": {"settle": "100ms"},
}


def push(exporter: RunningExporter, number: int) -> None:
    """Tells of windows that were over just now."""
    end = time.time() - 0.5
    lines = [
        json.dumps({"id": f"{end}-{one}", "start": end - 1.0, "end": end, "model": "m", "output_tokens": 10})
        for one in range(number)
    ]
    kind = {"Content-Type": "application/x-ndjson"}
    request = Request(f"{exporter.url}/api/v1/events", "\n".join(lines).encode(), kind)  # noqa: S310 - ours
    urlopen(request, timeout=10).close()  # noqa: S310


def settled(exporter: RunningExporter, number: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(exporter.receipts()) >= number, PATIENCE_SECONDS, f"{number} windows have settled")
    return exporter.receipts()


def scraped(page: Prometheus, number: int) -> None:
    def known() -> bool:
        return page.query("sum(llm_requests_total)").get((), -1.0) == number

    wait_until(known, PATIENCE_SECONDS, f"Prometheus knows of {number} windows")


def test_a_report_knows_every_joule_through_a_restart(prometheus_program: str, tmp_path: Path) -> None:
    began, address = time.time(), f"127.0.0.1:{free_port()}"
    receipts = []
    with running_prometheus(prometheus_program, f"http://{address}", tmp_path) as page:
        for number in (3, 2):
            with running_exporter(TRAINING, tmp_path, address) as exporter:
                time.sleep(1.6)  # a window is to lie within the books
                push(exporter, number)
                receipts += settled(exporter, number)
                scraped(page, number)
                alone = running.account(exporter.url)
        account = prometheus.account(page.url, began, time.time())
    joules = sum(one["energy_joules"] for one in receipts)
    [row] = standings(account)
    assert totals(account).requests == {"ok": 5}
    assert row.joules == pytest.approx(joules, rel=1e-9)
    assert totals(account).request_joules == pytest.approx(joules, rel=1e-9)
    assert (row.engine, row.method, row.output_tokens) == ("a loop", "estimated", 50)
    assert max(book.off_by for book in account.books) < 1e-9
    assert account.metered_joules > alone.metered_joules
    assert totals(alone).requests == {"ok": 2}
    assert any("ESTIMATED" in caution for caution in account.cautions)
