import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from exporter.domain.health import Published
from exporter.domain.readings import Method
from exporter.domain.snapshot import CoefficientView
from exporter.domain.units import Watts
from exporter.server.page import CONTENT_SECURITY_POLICY, landing_page
from tests.metrics.examples import (
    CPU0,
    GPU0,
    GPU1,
    device_view,
    health,
    log_view,
    model_view,
    nothing_yet,
    proxy_view,
    published,
    server_view,
    settled,
    source_view,
)


class Words(HTMLParser):
    """The page as a reader sees it, and whether every tag is closed."""

    VOID = ("meta", "br", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def words(page: Published) -> str:
    reader = Words()
    reader.feed(landing_page(page))
    assert reader.open == []
    return " ".join(" ".join(reader.text).replace("\N{NARROW NO-BREAK SPACE}", " ").split())


def measured() -> Published:
    """A machine on which everything is measured."""
    page = published()
    snapshot = replace(page.snapshot, devices=(device_view(GPU0), device_view(GPU1, Watts(88.0))))
    return Published(snapshot, replace(page.health, sources=(source_view(),)))


def test_name_and_version_stand_first() -> None:
    assert "llm-energy-exporter 0.1.0 Joules per LLM request." in words(published())


def test_every_device_shows_what_it_draws_and_how_that_is_known() -> None:
    assert "gpu0 NVIDIA H200 measured 412 W 74 W energy counter 100 ms" in words(published())


def test_a_silent_sensor_shows_no_power_and_zero_is_a_power() -> None:
    said = words(published())
    assert "gpu1 NVIDIA H200 measured \N{EN DASH} 74 W" in said
    assert "cpu0 EPYC 9554 estimated 0 W" in said


def test_the_books_are_an_equation() -> None:
    said = words(published())
    assert "metered = requests + idle + unattributed + unsettled" in said
    assert "gpu0 5 kJ = 3.5 kJ + 1.2 kJ + 90 J + 210 J" in said


def test_the_bar_is_as_wide_as_the_meter() -> None:
    bar = re.findall(r'<rect class="\w+" x="([\d.]+)" width="([\d.]+)" height="8"/>', landing_page(published()))[:4]
    assert sum(float(width) for _, width in bar) == pytest.approx(100, abs=0.05)
    assert float(bar[3][0]) + float(bar[3][1]) == pytest.approx(100, abs=0.05)


def test_a_server_shows_requests_so_far_and_the_mean_of_each() -> None:
    assert "chat llama-3.1-8b 3 0 640 73.2 J 0.355 J" in words(published())


def test_a_model_without_a_metered_request_has_no_mean() -> None:
    bare = replace(model_view(), energy={}, energy_per_output_token={})
    page = replace(published(), snapshot=replace(published().snapshot, models=(bare,)))
    assert "640 \N{EN DASH} \N{EN DASH}" in words(page)


def test_a_policy_that_stands_in_for_another_says_why() -> None:
    assert "by policy time instead of steps ( 12 of 60 windows seen)".replace("( ", "(") in words(published())
    content = replace(server_view(), policy="steps", policy_reason="")
    page = replace(published(), snapshot=replace(published().snapshot, servers=(content,)))
    assert "instead of" not in words(page)


def test_measured_energy_needs_no_warning() -> None:
    assert "stimated" not in words(measured())
    assert 'class="warning"' not in landing_page(measured())


def test_an_estimate_is_loud() -> None:
    page = replace(published(), snapshot=replace(published().snapshot, devices=(device_view(CPU0),)))
    assert "Estimated, not measured." in words(page)


def test_a_partial_estimate_names_its_devices() -> None:
    assert "Partly estimated. cpu0: a model of the device, not a sensor." in words(published())


def with_method(method: Method) -> Published:
    """Everything by this method."""
    page, model = measured(), model_view()
    snapshot = replace(
        page.snapshot,
        devices=(device_view(replace(GPU0, method=method)),),
        models=(replace(model, energy={method: model.energy["measured"]}),),
        recent=(replace(settled(), method=method),),
    )
    return replace(page, snapshot=snapshot)


def test_a_simulation_is_loud_at_the_top_in_the_title_and_beside_its_numbers() -> None:
    page = with_method("simulated")
    assert "<title>SIMULATED: " in landing_page(page)
    said = words(page)
    assert "SIMULATED. Nothing real used this energy" in said
    assert "simulated 73.2 J" in said
    assert "llama-3.1-8b on chat simulated" in said


def test_what_is_real_is_not_called_simulated() -> None:
    assert "imulated" not in words(measured())
    assert "SIMULATED" not in landing_page(measured())


def test_a_device_that_is_simulated_beside_real_ones_is_named() -> None:
    page = measured()
    devices = (device_view(GPU0), device_view(replace(GPU1, method="simulated")))
    said = words(replace(page, snapshot=replace(page.snapshot, devices=devices)))
    assert "PARTLY SIMULATED. gpu1: nothing real used that energy." in said


def test_power_that_is_played_from_a_recording_is_loud_and_says_where_it_is_from() -> None:
    page, played = measured(), replace(GPU0, method="recorded", origin="2026-11-21; a machine")
    snapshot = replace(page.snapshot, devices=(device_view(played),))
    said = words(replace(page, snapshot=snapshot))
    assert "RECORDED power. gpu0 is played from a recording (2026-11-21; a machine)." in said
    assert "<title>RECORDED: " in landing_page(replace(page, snapshot=snapshot))
    beside = replace(snapshot, devices=(*snapshot.devices, device_view(GPU1)))
    assert "PARTLY RECORDED power. gpu0 is played" in words(replace(page, snapshot=beside))
    assert "RECORDED" not in landing_page(page)


def test_simulated_requests_alone_are_enough_to_be_loud() -> None:
    page = measured()
    recent = (replace(settled(), method="simulated"),)
    assert "SIMULATED." in words(replace(page, snapshot=replace(page.snapshot, recent=recent)))


def test_energy_that_a_calibration_predicted_is_loud_and_names_its_server() -> None:
    said = words(with_method("time_proxy"))
    assert "Time proxy, not measured. chat: no meter sees the device" in said
    assert "time proxy 73.2 J" in said


def test_energies_of_different_methods_are_not_averaged() -> None:
    energy = model_view().energy["measured"]
    twice = replace(energy, sum=2 * energy.sum)
    page = measured()
    models = (replace(model_view(), energy={"measured": energy, "time_proxy": twice}),)
    assert "73.2 J time proxy 146 J" in words(replace(page, snapshot=replace(page.snapshot, models=models)))


def test_sources_that_were_not_used_say_why() -> None:
    assert "rapl was not used: no powercap here" in words(published())


def test_a_silent_source_is_loud() -> None:
    silent = replace(health(), sources=(replace(source_view(), up=False),))
    assert "nvml is silent." in words(replace(published(), health=silent))


def test_faults_are_loud() -> None:
    faulty = replace(health(), faults={"engine": 2})
    assert "Faults in the exporter. 2 in engine." in words(replace(published(), health=faulty))


def test_a_log_that_cannot_be_read_says_why() -> None:
    locked = replace(log_view(), problems={"/var/log/a.log": "permission denied"})
    page = replace(published(), health=replace(health(), logs=(locked,)))
    assert "/var/log/a.log cannot be read: permission denied" in words(page)


def test_before_anything_is_known_the_page_says_so() -> None:
    said = words(nothing_yet())
    for sentence in (
        "No power source.",
        "No device yet.",
        "No settled request yet.",
        "No proxy has predicted",
        "No log is read.",
    ):
        assert sentence in said


def test_names_cannot_write_html() -> None:
    evil = "<script>alert(1)</script>\"'&"
    page = replace(
        published(),
        snapshot=replace(
            published().snapshot,
            models=(model_view(evil, evil),),
            proxies=(replace(proxy_view("time", evil, evil), coefficients={evil: CoefficientView(1.0, 0.1)}),),
            recent=(replace(settled(evil), server=evil, model=evil),),
            servers=(replace(server_view(evil), policy_reason=evil),),
            devices=(device_view(replace(GPU0, name=evil, uuid=evil, model=evil)),),
        ),
        health=replace(
            health(),
            version=evil,
            sources=(replace(source_view(evil), up=False, refusals={evil: evil}),),
            logs=(replace(log_view(evil), problems={evil: evil}),),
            faults={evil: 1},
        ),
    )
    assert "<script" not in landing_page(page)
    assert evil in words(page)


def test_the_policy_allows_this_style_and_no_other() -> None:
    style = re.search(r"<style>(.*?)</style>", landing_page(published()), re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
