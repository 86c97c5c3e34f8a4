"""What a file may say, and what becomes of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.config import Readers, load, parse, parse_address
from exporter.config.reference import EXAMPLE
from exporter.domain.errors import ConfigError
from exporter.domain.settings import (
    AttributionSettings,
    BudgetSettings,
    CarbonSettings,
    ComponentsSettings,
    CpuEstimate,
    ListenAddress,
    PowerSettings,
    RequestSettings,
    ScoringSettings,
    ServerSettings,
    Settings,
)


def takes_anything(_options: Mapping[str, Any], _timezone: str | None) -> None:
    """A reader without options to get wrong."""


READERS: Readers = {"vllm": takes_anything, "jsonl": takes_anything}


def settings(text: str, **environment: str) -> Settings:
    return parse(text, environment, READERS)


def server(requests: str) -> ServerSettings:
    return settings(f"servers: [{{name: chat, requests: {requests}}}]").servers[0]


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "power:\nservers:\n", "---\n..."])
def test_a_file_that_says_nothing_means_every_default(text: str) -> None:
    assert settings(text) == Settings()


def test_every_default_is_written_as_it_is_read() -> None:
    text = """
        listen: 0.0.0.0:9460
        power: {source: auto, interval: 50ms, gpus: all}
        attribution: {policy: steps, idle: active, slice: 100ms, settle: 2s, horizon: 15m}
        proxies: [time, affine_time, time_share, tokens, step_model, peak]
        scoring: {window: 60s}
    """
    assert settings(text) == Settings()


def test_the_example_of_the_documentation_is_what_it_looks_like() -> None:
    assert settings(EXAMPLE) == Settings(
        servers=(
            ServerSettings(
                "chat",
                (RequestSettings("vllm", ("/var/log/vllm/*.log",), timezone="UTC"),),
                gpus=("0", "1"),
                about={"engine": "vLLM 0.11.1", "dtype": "bfloat16", "parallelism": "TP2"},
            ),
        ),
        power=PowerSettings(source=("nvml", "rapl")),
        state_dir="/var/lib/llm-energy-exporter",
    )


def test_result_files_are_paths_and_globs_and_one_needs_no_list() -> None:
    assert settings("components: {results: /data/*.json}").components == ComponentsSettings(("/data/*.json",))
    assert settings("components: {results: [a.json, b/*.json]}").components.results == ("a.json", "b/*.json")
    assert (
        settings("components: {results: []}").components == settings("components:").components == ComponentsSettings()
    )


def test_durations_have_units() -> None:
    times = settings("attribution: {slice: 50ms, settle: 1.5s, horizon: 1h}").attribution
    assert times == AttributionSettings(slice_seconds=0.05, settle_seconds=1.5, horizon_seconds=3600.0)


def test_a_day_is_a_duration() -> None:
    assert settings("attribution: {slice: 1s, horizon: 1d}").attribution.horizon_seconds == 86_400.0


def test_watts_may_have_a_unit_or_none() -> None:
    power = settings("power: {cpu: {idle_watts: 20, max_watts: 0.2 kW}, idle_watts: {gpu0: 60W, dram0: 0}}").power
    assert power.cpu == CpuEstimate(20.0, 200.0)
    assert power.idle_watts == {"gpu0": 60.0, "dram0": 0.0}


def test_one_power_source_or_several() -> None:
    assert settings("power: {source: cpu}").power.source == ("cpu",)
    assert settings("power: {source: [nvml, rapl]}").power.source == ("nvml", "rapl")


def test_gpus_are_indices_uuids_or_bus_ids() -> None:
    assert settings("power: {gpus: [0, GPU-6f1c, 00000000:17:00.0]}").power.gpus == (
        "0",
        "GPU-6f1c",
        "00000000:17:00.0",
    )
    assert settings("power: {gpus: 3}").power.gpus == ("3",)


def test_a_bus_id_is_no_number_to_base_sixty_and_off_is_no_truth() -> None:
    assert settings("power: {gpus: [17:00.0, 1:30, off]}").power.gpus == ("17:00.0", "1:30", "off")


def test_a_model_is_fixed_or_from_the_log() -> None:
    text = "servers: [{name: a, model: auto, requests: {source: vllm, path: /a}}]"
    assert settings(text).servers[0].model is None
    assert settings(text.replace("auto", "llama")).servers[0].model == "llama"


def test_a_server_reads_one_path_or_several_from_the_end_or_the_beginning() -> None:
    assert server("{source: vllm, path: /a}").requests[0].path == ("/a",)
    assert server("{source: vllm, path: [/a, '/b/*.log'], start: beginning}").requests[0] == RequestSettings(
        "vllm", ("/a", "/b/*.log"), "beginning"
    )


def test_a_readers_own_keys_reach_it_untouched() -> None:
    heard = []

    def reader(options: Mapping[str, Any], timezone: str | None) -> None:
        heard.append((options, timezone))

    text = """
        servers:
          - name: chat
            requests: {source: jsonl, path: /a, timezone: Europe/Berlin, profile: nginx, fields: {id: [a, 1]}}
    """
    parsed = parse(text, {}, {"jsonl": reader})
    options = {"profile": "nginx", "fields": {"id": ["a", 1]}}
    assert parsed.servers[0].requests[0].options == options
    assert heard == [(options, "Europe/Berlin")]


def test_proxies_are_chosen_by_name() -> None:
    assert settings("proxies: time_share").proxies == ("time_share",)
    assert settings("proxies: [step_model, time]").proxies == ("step_model", "time")
    assert settings("proxies: []").proxies == ()


def test_scoring_windows_are_as_long_as_wanted() -> None:
    assert settings("scoring: {window: 5s}").scoring == ScoringSettings(5.0)
    assert settings("scoring: {window: 1h}").scoring == ScoringSettings(3600.0)


def test_a_server_may_have_a_calibration_and_things_to_say_about_it() -> None:
    text = "servers: [{name: a, calibration: /c.json, about: {dtype: fp8}, requests: {source: vllm}}]"
    (server,) = settings(text).servers
    assert (server.calibration, server.about) == ("/c.json", {"dtype": "fp8"})


def test_nothing_at_all_may_be_metered() -> None:
    assert settings("power: {source: none}").power.source == ("none",)


def test_buckets_are_numbers() -> None:
    assert settings("buckets: {energy: [1, 10.5, 1e3]}").buckets.energy == (1.0, 10.5, 1000.0)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ListenAddress("127.0.0.1", 80)),
        (":9460", ListenAddress()),
        ("localhost:0", ListenAddress("localhost", 0)),
        ("[::1]:9460", ListenAddress("::1", 9460)),
    ],
)
def test_addresses(text: str, address: ListenAddress) -> None:
    assert parse_address(text) == address
    assert settings(f"listen: '{text}'").listen == address


@pytest.mark.parametrize("text", ["9460", "host", "host:port", "host:70000", "::1:9460", "a b:1", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^listen: must be HOST:PORT, such as 0\.0\.0\.0:9460"):
        parse_address(text)


def test_variables_are_filled_in() -> None:
    assert settings("state_dir: ${HOME_DIR}/state", HOME_DIR="/srv").state_dir == "/srv/state"


def test_a_variable_may_be_any_kind_of_value_unless_it_is_quoted() -> None:
    assert settings("power:\n  gpus: ${GPU}", GPU="2").power.gpus == ("2",)
    assert settings("power:\n  idle_watts:\n    gpu0: ${IDLE}", IDLE="60").power.idle_watts == {"gpu0": 60.0}
    assert settings("power: {idle_watts: {gpu0: '${IDLE}'}}", IDLE="60").power.idle_watts == {"gpu0": 60.0}
    assert settings("state_dir: '${NUMBER}'", NUMBER="7").state_dir == "7"


def test_the_default_stands_for_a_variable_that_is_unset_or_empty() -> None:
    assert settings("state_dir: ${DIR:-/var}").state_dir == "/var"
    assert settings("state_dir: ${DIR:-/var}", DIR="").state_dir == "/var"
    assert settings("state_dir: ${DIR:-/var}", DIR="/srv").state_dir == "/srv"


def test_a_doubled_dollar_is_a_dollar() -> None:
    assert settings("state_dir: /a/$${DIR}/$5").state_dir == "/a/${DIR}/$5"


def test_no_variable_can_change_the_structure_of_the_file() -> None:
    assert settings('state_dir: "${DIR}"', DIR="x, listen: y").state_dir == "x, listen: y"


def test_an_anchor_may_stand_for_what_two_servers_share() -> None:
    text = """
        servers:
          - {name: a, requests: &log {source: vllm, path: /a}}
          - {name: b, requests: {<<: *log, path: /b}}
    """
    assert [each.requests[0].path for each in settings(text).servers] == [("/a",), ("/b",)]


def test_a_file_is_read_with_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("state_dir: ${STATE_OF_MINE}")
    monkeypatch.setenv("STATE_OF_MINE", "/srv")
    assert load(file, READERS).state_dir == "/srv"


def test_budgets_have_energy_in_any_unit_and_a_window_or_are_per_request() -> None:
    text = """
        budgets:
          - {name: daily, energy: 50 kWh, per: 1d}
          - {name: each, energy: 400 J, per: request, model: llama-3.1-8b, objective: 0.95}
    """
    assert settings(text).budgets == (
        BudgetSettings("daily", 1.8e8, 86_400.0),
        BudgetSettings("each", 400.0, None, model="llama-3.1-8b", objective=0.95),
    )


def test_carbon_is_of_grid_and_building() -> None:
    assert settings("carbon: {intensity: 381, pue: 1.2}").carbon == CarbonSettings(381.0, 1.2)
