"""A real Prometheus that scrapes many exporters: what the recording rules and the fleet dashboard cost it.

    python -m tests.bench.fleet [--exporters 200] [--minutes 6] [--prometheus PROGRAM]

One small HTTP server stands for all exporters: each target gets the page of `tests.bench.series`, whose counters go on
from scrape to scrape. After more than five minutes, so that rates have all the samples they will ever have, Prometheus
is asked how long its rules took, how many series they leave, and the dashboard's queries are timed, each once.
"""

import argparse
import gzip
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from exporter.metrics.catalogue import CATALOGUE
from tests.bench.series import SCRAPE_SECONDS, SHAPES, page, series_by_family
from tests.e2e.web import answers, free_port, wait_until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "grafana" / "dashboards" / "fleet.json"
_PHASES = 40
"""So many scrapes the counters go on before they begin anew, as they would after a restart."""

_COUNTING = {family.name for family in CATALOGUE if family.type == "counter"}
_LINE = re.compile(r"^([a-z_]+)(\{.*\})? ([-+.e0-9]+)$")


def grown(text: str, factor: float) -> str:
    """The page with its counters so many times as high."""
    return "".join(_grown(line, factor) + "\n" for line in text.splitlines())


def _grown(line: str, factor: float) -> str:
    match = _LINE.match(line)
    if not match or not (match[1] in _COUNTING or match[1].endswith(("_bucket", "_count", "_sum"))):
        return line
    return f"{match[1]}{match[2] or ''} {float(match[3]) * factor!r}"


@contextmanager
def _exporters() -> Iterator[str]:
    """Where all exporters are, told apart by their path."""
    text = page(SHAPES[0])
    bodies = [gzip.compress(grown(text, 1.0 + phase).encode(), 1) for phase in range(_PHASES)]
    begin = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = bodies[int((time.monotonic() - begin) / SCRAPE_SECONDS) % _PHASES]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _prometheus(program: str, folder: Path, address: str, exporters: int) -> Iterator[str]:
    targets = [{"targets": [f"exporter-{number}"]} for number in range(exporters)]
    relabelled = [
        {"source_labels": ["__address__"], "target_label": "instance"},
        {"source_labels": ["__address__"], "target_label": "pod"},
        {"source_labels": ["__address__"], "target_label": "__metrics_path__", "replacement": "/$1"},
        {"target_label": "__address__", "replacement": address},
        {"target_label": "namespace", "replacement": "models"},
    ]
    scrape = {"job_name": "llm-energy-exporter", "static_configs": targets, "relabel_configs": relabelled}
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": "10s"},
        "rule_files": [str(RULES / "recording.yml"), str(RULES / "alerts.yml")],
        "scrape_configs": [scrape],
    }
    file, listen = folder / "prometheus.yml", f"127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump(config))
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={listen}", "--log.level=error"]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: answers(f"http://{listen}/-/ready"), 60.0, "Prometheus is ready")
            yield f"http://{listen}"
        finally:
            process.terminate()


def _asked(url: str, endpoint: str, **query: str) -> Any:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=300)
    try:
        connection.request("GET", f"/api/v1/{endpoint}?{urlencode(query)}")
        answer = json.loads(connection.getresponse().read())
        assert answer["status"] == "success", answer
        return answer["data"]
    finally:
        connection.close()


def _value(url: str, expression: str) -> float:
    result = _asked(url, "query", query=expression)["result"]
    return float(result[0]["value"][1]) if result else 0.0


def dashboard_queries(file: Path = DASHBOARD) -> list[str]:
    """Every query of a dashboard, its variables set to everything."""
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("expr"), str):
                found.append(node["expr"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(json.loads(file.read_text())["panels"] if file.exists() else [])
    return [_filled(expression) for expression in found]


def _filled(expression: str) -> str:
    timed = expression.replace("$__rate_interval", "5m").replace("$__range", "1h").replace("$__interval", "1m")
    return re.sub(r"\$\{?[a-z_]+(:[a-z]+)?\}?", ".+", timed)


def _report_series(url: str) -> None:
    up, raw = _value(url, "sum(up)"), _value(url, "sum(scrape_samples_scraped)")
    recorded = _value(url, 'count({__name__=~".+:.+:.+"})')
    alone = _value(url, 'count({__name__=~"instance_.+:.+:.+"})')
    print(f"up {up:.0f}, series scraped {raw:,.0f}, recorded {recorded:,.0f}, of these one machine's {alone:,.0f}")


def _report_rules(url: str) -> None:
    groups = _asked(url, "rules")["groups"]
    print("\nrules, one evaluation a minute          ms    rules")
    for group in groups:
        print(f"    {group['name']:30} {1000 * group['evaluationTime']:8.1f} {len(group['rules']):8}")
    print(f"    {'all':30} {1000 * sum(group['evaluationTime'] for group in groups):8.1f}")
    wrong = [rule["name"] for group in groups for rule in group["rules"] if rule.get("lastError")]
    print(f"    rules with errors: {wrong or 'none'}")


def _report_queries(url: str) -> None:
    now, times = time.time(), []
    for expression in dashboard_queries():
        begin = time.perf_counter()
        _asked(url, "query_range", query=expression, start=str(now - 3600), end=str(now), step="15")
        times.append((time.perf_counter() - begin, expression))
    print(f"\nfleet dashboard: {len(times)} queries over an hour, {1000 * sum(t for t, _ in times):.0f} ms together")
    for seconds, expression in sorted(times, reverse=True)[:5]:
        print(f"    {1000 * seconds:8.1f} ms  {' '.join(expression.split())[:110]}")


def main() -> None:
    """Run it and print what it cost."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--exporters", type=int, default=200)
    options.add_argument("--minutes", type=float, default=6.5)
    options.add_argument("--prometheus", default=shutil.which("prometheus"))
    given = options.parse_args()
    if given.prometheus is None:
        print("Prometheus is not installed: apt-get install prometheus")
        return
    series = series_by_family(page(SHAPES[0])).total()
    print(f"{given.exporters} exporters of {series} series ({SHAPES[0].name}), scraped every {SCRAPE_SECONDS} s")
    with (
        TemporaryDirectory() as folder,
        _exporters() as address,
        _prometheus(given.prometheus, Path(folder), address, given.exporters) as url,
    ):
        time.sleep(60 * given.minutes)
        _report_series(url)
        _report_rules(url)
        _report_queries(url)


if __name__ == "__main__":
    main()
