import gzip
import json
import logging
import math
from dataclasses import replace
from urllib.parse import quote

import pytest
from yarl import URL

from exporter.domain.health import Published
from exporter.domain.readings import Device
from exporter.domain.units import Instant, Joules
from exporter.metrics.exposition import OPENMETRICS_TYPE, TEXT_TYPE, render
from exporter.proxy.proxies import UNITS
from tests.metrics.examples import (
    AT,
    SCORES,
    device_view,
    nothing_yet,
    proxy_view,
    published,
    score_view,
    settled,
)
from tests.server.conftest import Client, Exporter

PATHS = (
    *("/", "/metrics", "/-/healthy", "/-/ready"),
    *("/api/v1/requests", "/api/v1/requests/req-1", "/api/v1/proxy"),
)


async def test_metrics_are_text_unless_somebody_asks_for_more(client: Client) -> None:
    answer = await client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == TEXT_TYPE
    assert await answer.read() == render(published())[0]


async def test_openmetrics_is_for_those_who_ask(client: Client) -> None:
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["Content-Type"] == OPENMETRICS_TYPE
    assert (await answer.read()).endswith(b"# EOF\n")


async def test_metrics_are_compressed_for_those_who_accept_it(client: Client) -> None:
    answer = await client.get("/metrics", headers={"Accept-Encoding": "deflate, gzip;q=0.8"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert gzip.decompress(await answer.read()) == render(published())[0]


@pytest.mark.parametrize("encodings", ["identity", "gzip;q=0", "br"])
async def test_metrics_are_plain_for_everybody_else(client: Client, encodings: str) -> None:
    answer = await client.get("/metrics", headers={"Accept-Encoding": encodings})
    assert "Content-Encoding" not in answer.headers


async def test_a_scrape_only_reads(client: Client, exporter: Exporter) -> None:
    pages = [await (await client.get("/metrics")).read() for _ in range(2)]
    assert pages[0] == pages[1]
    assert exporter.asked == 2


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_like_get_without_a_body(client: Client, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert head.status == got.status == 200
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert await head.read() == b""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(client: Client, path: str, method: str) -> None:
    answer = await client.request(method, path)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET,HEAD"


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    assert (await client.get("/favicon.ico")).status == 404


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
async def test_every_answer_tells_browsers_not_to_guess_or_keep(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


async def test_health_is_about_the_process(client: Client, exporter: Exporter) -> None:
    exporter.is_ready = False
    answer = await client.get("/-/healthy")
    assert (answer.status, await answer.text()) == (200, "healthy\n")


async def test_readiness_says_why_not(client: Client, exporter: Exporter) -> None:
    exporter.is_ready = False
    answer = await client.get("/-/ready")
    assert (answer.status, await answer.text()) == (503, "starting: no books yet\n")


async def test_a_broken_sensor_stays_ready(client: Client, exporter: Exporter) -> None:
    exporter.state = nothing_yet()
    answer = await client.get("/-/ready")
    assert (answer.status, await answer.text()) == (200, "ready\n")


async def test_recent_requests_come_latest_first(client: Client, exporter: Exporter) -> None:
    requests = tuple(replace(settled(f"req-{n}"), end=Instant(AT - n)) for n in (3, 1, 2))
    exporter.state = replace(published(), snapshot=replace(published().snapshot, recent=requests))
    answer = await client.get("/api/v1/requests")
    assert answer.content_type == "application/json"
    assert [request["id"] for request in (await answer.json())["requests"]] == ["req-1", "req-2", "req-3"]


async def test_a_request_tells_all_about_its_energy(client: Client) -> None:
    request = json.loads(await (await client.get("/api/v1/requests")).read())["requests"][0]
    assert request == {
        "id": "req-1",
        "server": "chat",
        "model": "llama-3.1-8b",
        "start": AT - 5.0,
        "end": AT - 3.3,
        "duration_seconds": pytest.approx(1.7),
        "queued_seconds": 0.0,
        "time_to_first_token_seconds": 0.03,
        "concurrency": 2.5,
        "outcome": "ok",
        "method": "measured",
        "energy_joules": 88.0,
        "interval": None,
        "metered_joules": None,
        "energy_joules_by_device": {"gpu0": 60.0, "gpu1": 28.0},
        "late_joules": 0.0,
        "predicted": {"time": 104.0, "step_model": 86.5},
        "prompt_tokens": 400,
        "tenant": None,
        "trace_id": None,
        "output_tokens": 220,
    }


async def test_a_receipt_says_how_its_energy_is_known(client: Client) -> None:
    answer = await client.get("/api/v1/requests/req-2")
    receipt = await answer.json()
    assert (receipt["id"], receipt["metered_joules"], receipt["at"]) == ("req-2", 87.2, AT)
    assert receipt["in_words"] == "88 J, measured. It ran alone: all energy of that time is its own, 87.2 J."


async def test_a_request_that_is_not_here_is_told_so_in_json(client: Client) -> None:
    answer = await client.get("/api/v1/requests/chatcmpl-%22nobody%22")
    assert answer.status == 404
    assert answer.content_type == "application/json"
    said = await answer.json()
    assert said["error"] == "no request with this id is among the 2 that settled last"
    assert "/api/v1/requests" in said["hint"]


async def test_of_requests_that_share_an_id_the_latest_counts(client: Client, exporter: Exporter) -> None:
    twice = tuple(replace(settled("7"), end=Instant(AT - n), joules=Joules(n)) for n in (3, 1, 2))
    exporter.state = replace(published(), snapshot=replace(published().snapshot, recent=twice))
    assert (await (await client.get("/api/v1/requests/7")).json())["energy_joules"] == 1


@pytest.mark.parametrize("request_id", ["a/b//c", "é ü", "per%cent", "?#&"])
async def test_an_id_may_hold_anything(client: Client, exporter: Exporter, request_id: str) -> None:
    wild = (settled(request_id),)
    exporter.state = replace(published(), snapshot=replace(published().snapshot, recent=wild))
    path = URL(f"/api/v1/requests/{quote(request_id, safe='')}", encoded=True)
    assert (await (await client.get(path)).json())["id"] == request_id


async def test_proxies_tell_all_that_is_known_of_them(client: Client) -> None:
    [first, *_] = (await (await client.get("/api/v1/proxy")).json())["proxies"]
    assert first["coefficients"] == {"second": {"value": 46.2, "error": 0.8, "unit": UNITS["time"]["second"]}}
    assert (first["proxy"], first["predicted_joules"], first["unpredicted"]) == ("time", 2140.5, 1)
    assert first["scores"]["window"] == {
        "samples": 2,
        "recent": SCORES,
        "lifetime": {**SCORES, "mape": 0.36},
        "drift": 0.4,
        "drifting": False,
    }
    assert first["scores"]["isolated"] == {
        "samples": 0,
        "recent": {},
        "lifetime": {},
        "drift": None,
        "drifting": False,
    }


async def test_points_say_whether_their_energy_was_metered(client: Client) -> None:
    points = (await (await client.get("/api/v1/proxy")).json())["points"]
    assert [(one["id"], one["alone"], one["metered_joules"]) for one in points] == [
        ("req-1", False, None),
        ("req-2", True, 87.2),
    ]
    assert points[0]["predicted"] == {"time": 104.0, "step_model": 86.5}


async def test_a_prediction_is_not_held_against_itself(client: Client, exporter: Exporter) -> None:
    predicted = replace(settled(), method="time_proxy", interval=(Joules(60.0), Joules(120.0)))
    exporter.state = replace(published(), snapshot=replace(published().snapshot, recent=(predicted,)))
    assert (await (await client.get("/api/v1/proxy")).json())["points"] == []


async def test_what_json_cannot_say_is_null(client: Client, exporter: Exporter) -> None:
    wild = proxy_view(window=replace(score_view(r2=math.nan), drift=math.inf))
    request = replace(settled(), predicted={"time": Joules(math.inf)})
    snapshot = replace(published().snapshot, proxies=(wild, proxy_view("affine_time")), recent=(request,))
    exporter.state = replace(published(), snapshot=snapshot)
    text = await (await client.get("/api/v1/proxy")).text()
    said = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert said["proxies"][0]["scores"]["window"]["drift"] is None
    assert said["proxies"][1]["coefficients"]["second"]["error"] is None
    assert said["points"][0]["predicted"] == {"time": None}


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/requests", "/api/v1/proxy"])
async def test_our_own_bug_costs_one_answer_and_is_counted(
    client: Client, exporter: Exporter, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    exporter.state = replace(published(), snapshot=None)  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR):
        answer = await client.get(path)
    assert answer.status == 500
    assert await answer.text() == "this answer could not be made; the exporter's log says why\n"
    assert exporter.faults == ["server"]
    assert f"no answer could be made for {path}" in caplog.text
    exporter.state = published()
    assert (await client.get(path)).status == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/requests", "/api/v1/proxy"])
async def test_half_a_character_in_a_log_costs_no_answer(client: Client, exporter: Exporter, path: str) -> None:
    snapshot = published().snapshot
    wild = tuple(replace(model, model="bad\ud800name") for model in snapshot.models)
    recent = (replace(settled(), id="bad\ud800id"),)
    exporter.state = replace(published(), snapshot=replace(snapshot, models=wild, recent=recent))
    assert (await client.get(path)).status == 200


async def test_the_page_may_load_and_run_nothing(client: Client) -> None:
    answer = await client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert answer.headers["X-Frame-Options"] == "DENY"
    page = await answer.text()
    assert not [word for word in ("<script", " style=", "http://", "https://", "url(", "@import") if word in page]


async def test_a_device_that_nobody_expected_is_shown(client: Client, exporter: Exporter) -> None:
    device = device_view(Device("dram0", "dram", model="<b>&"))
    exporter.state = Published(replace(published().snapshot, devices=(device,)), published().health)
    assert "&lt;b&gt;&amp;" in await (await client.get("/")).text()
