"""What is refused, and in which words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.config import ConfigErrors, Readers, load, parse
from exporter.domain.errors import ConfigError

POWER_KEYS = "`source`, `interval`, `gpus`, `cpu`, `dcgm`, `recording`, `idle_watts`"


def picky(options: Mapping[str, Any], _timezone: str | None) -> None:
    """A reader with one option."""
    for name in options:
        if name != "profile":
            raise ConfigError(name, "is an unknown key")
    if options.get("profile") == "bad":
        raise ConfigError("options.profile", "must be one of nginx, envoy")


READERS: Readers = {"vllm": picky, "jsonl": picky}


def refusal(text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as raised:
        parse(text, environment, READERS, file="config.yaml")
    return str(raised.value)


def server(requests: str, **others: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in others.items())
    return f"servers: [{{name: chat, requests: {requests}{more}}}]"


def test_an_unknown_key_is_named_with_its_path_and_a_near_one() -> None:
    assert refusal("power: {intervall: 1s}") == ("power.intervall: is an unknown key; did you mean `interval`?")


def test_an_unknown_key_with_no_near_one_names_those_there_are() -> None:
    assert refusal("buckets: {xyz: 1}") == (
        "buckets.xyz: is an unknown key; known here are `energy`, `duration`, `energy_per_token`"
    )


def test_a_misspelt_source_is_found_though_readers_have_keys_of_their_own() -> None:
    said = refusal(server("{sorce: vllm}"))
    assert "servers[0].requests.source: is missing" in said
    assert "servers[0].requests.sorce: is an unknown key; did you mean `source`?" in said


def test_what_a_reader_refuses_is_named_with_the_whole_path() -> None:
    assert refusal(server("{source: jsonl, profile: bad}")) == (
        "servers[0].requests.profile: must be one of nginx, envoy"
    )


def test_a_key_that_the_reader_does_not_know_was_perhaps_one_of_ours() -> None:
    assert refusal(server("{source: jsonl, timezon: UTC}")) == (
        "servers[0].requests.timezon: is an unknown key; did you mean `timezone`?"
    )


def test_the_time_zone_is_shown_to_the_reader_too() -> None:
    def zoned(_options: Mapping[str, Any], timezone: str | None) -> None:
        raise ConfigError("timezone", f"{timezone} is not for this log")

    with pytest.raises(ConfigError) as raised:
        parse(server("{source: vllm, timezone: UTC}"), {}, {"vllm": zoned})
    assert str(raised.value) == "servers[0].requests.timezone: UTC is not for this log"


def test_the_metrics_of_a_server_are_at_a_url() -> None:
    said = refusal(server("{source: vllm}", metrics_url="127.0.0.1:8000/metrics"))
    assert said == "servers[0].metrics_url: must be an http:// or https:// URL, not '127.0.0.1:8000/metrics'"


@pytest.mark.parametrize("log", ["{}", "{pod: a, selector: app=a}"])
def test_a_log_in_kubernetes_is_of_a_pod_or_of_those_that_a_selector_finds(log: str) -> None:
    said = refusal(server(f"{{source: vllm, kubernetes: {log}}}"))
    assert said.startswith("servers[0].requests.kubernetes.pod: name a `pod`, or give a `selector`")


def test_a_node_narrows_a_selector_only() -> None:
    said = refusal(server("{source: vllm, kubernetes: {pod: a, node: b}}"))
    assert said.startswith("servers[0].requests.kubernetes.node: leave it out")


def test_what_is_told_over_http_is_not_read_from_kubernetes() -> None:
    checks = {"push": lambda _options, _timezone: None}
    with pytest.raises(ConfigError, match="kubernetes: leave it out: source `push` is told over HTTP"):
        parse(server("{source: push, kubernetes: {pod: a}}"), {}, checks)


def test_a_log_comes_one_way() -> None:
    said = refusal(server("{source: vllm, path: /log, kubernetes: {pod: a}}"))
    assert said.startswith("servers[0].requests.kubernetes: leave out `path`, or this")


def test_each_of_several_places_is_named_by_its_number() -> None:
    said = refusal(server("[{source: vllm}, {source: vlm}]"))
    assert said.startswith("servers[0].requests[1].source: must be one of")


def test_a_server_is_told_of_in_one_place_at_least() -> None:
    assert refusal(server("[]")) == "servers[0].requests: must be a mapping, or a list of mappings, not []"


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("{name: a, energy: 5, per: 1d}", "budgets[0].energy: must be energy with its unit"),
        ("{name: a, energy: 5 cal, per: 1d}", "budgets[0].energy: must be energy with its unit"),
        ("{name: a, energy: 5 J}", "budgets[0].per: is missing"),
        ("{name: a, energy: 5 J, per: day}", "budgets[0].per: must be `request`, or a duration"),
        ("{name: a, energy: 5 J, per: request, objective: 99}", "budgets[0].objective: must be a share"),
        ("{name: a, energy: 5 J, per: 1d, server: chet}", "budgets[0].server: no server is called 'chet'"),
    ],
)
def test_a_wrong_budget_is_named(budget: str, said: str) -> None:
    assert refusal(f"budgets: [{budget}]").startswith(said)


def test_two_budgets_have_two_names() -> None:
    said = refusal("budgets: [{name: a, energy: 5 J, per: 1d}, {name: a, energy: 5 J, per: 7d}]")
    assert said == "budgets[1].name: 'a' is already the name of budgets[0]"


@pytest.mark.parametrize("carbon", ["{intensity: 0}", "{pue: 0.9}", "{intensity: much}"])
def test_wrong_factors_are_refused(carbon: str) -> None:
    assert refusal(f"carbon: {carbon}").startswith("carbon.")


def test_a_dcgm_exporter_to_be_asked_is_named() -> None:
    assert refusal("power: {source: dcgm}") == (
        "power.dcgm.url: name dcgm-exporter's page, http://NODE:9400/metrics: power.source is `dcgm`"
    )


@pytest.mark.parametrize(
    ("power", "said"),
    [
        ("{source: [nvml, dcgm], dcgm: {url: 'http://a'}}", "power.source: `nvml` and `dcgm` meter the same GPUs"),
        ("{dcgm: {url: 'http://me:secret@a'}}", "power.dcgm.url: leave out name and password"),
        ("{dcgm: {user: me}}", "power.dcgm.password_file: `user` and `password_file` go together"),
        ("{dcgm: {user: me, password_file: p, token_file: t}}", "power.dcgm.user: leave it out, or `token_file`"),
        ("{dcgm: {namespace: llm}}", "power.dcgm.namespace: leave it out, or name the `pod`"),
        ("{dcgm: {collect_interval: 30}}", "power.dcgm.collect_interval: must be a duration from 100ms to 10m"),
    ],
)
def test_a_wrong_dcgm_exporter_is_named(power: str, said: str) -> None:
    assert refusal(f"power: {power}").startswith(said)


def test_an_unknown_reader_is_answered_with_the_nearest() -> None:
    assert refusal(server("{source: vlm}")) == (
        "servers[0].requests.source: must be one of `jsonl`, `vllm`, not 'vlm'; did you mean `vllm`?"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listen: 9460", "listen: must be HOST:PORT, such as 0.0.0.0:9460 or [::]:9460, not 9460"),
        (
            "power: {interval: 50}",
            "power.interval: must be a duration from 10ms to 1m, such as 50ms, 2s, 15m, not 50; give it a unit",
        ),
        (
            "power: {interval: 1ms}",
            "power.interval: must be a duration from 10ms to 1m, such as 50ms, 2s, 15m, not '1ms'",
        ),
        ("power: {gpus: []}", "power.gpus: must not be an empty list"),
        ("power: {gpus: [0, 0]}", "power.gpus[1]: 0 stands twice"),
        ("power: {gpus: [-1]}", "power.gpus[0]: must be a GPU's index, UUID or PCI bus id, not -1"),
        ("power: {gpus: true}", "power.gpus: must be a GPU's index, UUID or PCI bus id, not true"),
        ("power: {cpu: {max_watts: -5}}", "power.cpu.max_watts: must be watts, such as 60 or 60W, not -5"),
        ("power: {cpu: {max_watts: .inf}}", "power.cpu.max_watts: must be watts, such as 60 or 60W, not inf"),
        ("power: {cpu: {max_watts: .nan}}", "power.cpu.max_watts: must be watts, such as 60 or 60W, not nan"),
        ("power: {idle_watts: {gpu: 6}}", "power.idle_watts.gpu: is no device's name; they look like gpu0"),
        ("power: {idle_watts: 60}", "power.idle_watts: must be a mapping such as {gpu0: ...}, not 60"),
        (
            "power: 5",
            f"power: must be a mapping with keys {POWER_KEYS}, not 5",
        ),
        ("servers: {name: a}", "servers: must be a list, each entry after a `- `, not {'name': 'a'}"),
        ("state_dir: 5", "state_dir: must be a directory, not 5; put it in quotes"),
        ("components: {results: [a, a]}", "components.results[1]: 'a' stands twice"),
        ("components: {results: 5}", "components.results: must be a path or glob, not 5; put it in quotes"),
        ("components: {result: a}", "components.result: is an unknown key; did you mean `results`?"),
        ("components: a", "components: must be a mapping with keys `results`, not 'a'"),
        ("buckets: {energy: [2, 1]}", "buckets.energy[1]: must be more than 2 before it, not 1"),
        ("buckets: {energy: [0, 1]}", "buckets.energy[0]: must be a number above 0, not 0"),
        ("buckets: {energy: []}", "buckets.energy: must be a list of 1 to 100 ascending numbers, not []"),
        (
            "attribution: {policy: fair}",
            "attribution.policy: must be one of `time`, `tokens`, `steps`, not 'fair'",
        ),
        (
            "attribution: {policy: step}",
            "attribution.policy: must be one of `time`, `tokens`, `steps`, not 'step'; did you mean `steps`?",
        ),
        ("attribution: {slice: 2s}", None),
        ("attribution: {slice: 5ms}", None),
        ("attribution: {policy: [time]}", None),
        ("- a\n- b", None),
        ("just text", None),
    ],
)
def test_wrong_values_are_named_with_path_value_and_what_is_allowed(text: str, said: str | None) -> None:
    assert said is None or refusal(text) == said
    assert refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attribution: {slice: 500ms, settle: 200ms}", "attribution.slice: must be at most settle (200ms), not 500ms"),
        ("attribution: {settle: 10s, horizon: 5s}", "attribution.settle: must be at most horizon (5s), not 10s"),
        (
            "attribution: {slice: 10ms, horizon: 1d}",
            "attribution.horizon: must be at most 1000000 slices of 10ms, not 1d",
        ),
        ("power: {source: [auto, nvml]}", "power.source: `auto` stands alone: it chooses by itself"),
        (
            "power: {source: [rapl, cpu]}",
            "power.source: `rapl` and `cpu` meter the same energy, which would be counted twice; keep one",
        ),
        (
            "power: {cpu: {idle_watts: 90, max_watts: 60}}",
            "power.cpu.idle_watts: must be at most max_watts (60), not 90",
        ),
        (
            "{power: {gpus: [0, 1]}, " + server("{source: vllm}", gpus="[1, 2]") + "}",
            "servers[0].gpus: '2' is not in power.gpus (0, 1), so it is not metered",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(text: str, said: str) -> None:
    assert refusal(text) == said


def test_two_servers_of_one_name_are_refused() -> None:
    entry = "{name: a, requests: {source: vllm, path: /%s}}"
    assert refusal(f"servers: [{entry % 'x'}, {entry % 'y'}]") == (
        "servers[1].name: 'a' is already the name of servers[0]"
    )


def test_standard_input_is_not_shared() -> None:
    assert refusal("servers: [{name: a, requests: {source: vllm}}, {name: b, requests: {source: vllm}}]") == (
        "servers[1].requests.path: standard input (`-`) is already read by servers[0]; name a file"
    )


def test_a_time_zone_that_is_none_is_refused() -> None:
    assert refusal(server("{source: vllm, timezone: Mars/Olympus}")) == (
        "servers[0].requests.timezone: must be a time zone's IANA name, such as Europe/Berlin or UTC, "
        "not 'Mars/Olympus'; is it in this machine's time zone database?"
    )


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(ConfigErrors) as raised:
        parse("{listen: 1, power: {interval: 1, source: x}, servers: [{nme: a}]}", {}, READERS)
    assert [error.path for error in raised.value.errors] == [
        "listen",
        "power.source",
        "power.interval",
        "servers[0].name",
        "servers[0].requests",
        "servers[0].nme",
    ]
    assert str(raised.value).startswith("6 problems\n  listen: must be HOST:PORT")


def test_a_syntax_error_is_one_line_with_file_line_and_column() -> None:
    assert refusal("power:\n  interval: [1") == (
        "config.yaml:2:15: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"
    )


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    assert refusal("power:\n  gpus: all\n  gpus: [1]\n") == ("power.gpus: stands twice, in line 2 and in line 3")


def test_a_variable_that_is_not_set_is_named_with_its_key() -> None:
    assert refusal("servers: [{name: '${NAME}', requests: {source: vllm}}]") == (
        "servers[0].name: the environment variable NAME is not set; set it, or write ${NAME:-default}"
    )


def test_half_a_variable_is_refused() -> None:
    assert refusal("state_dir: ${DIR") == (
        "state_dir: `${` begins a variable: write ${NAME}, ${NAME:-default}, or $${ for itself"
    )


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!!timestamp", "!mine", "!!bool"])
def test_tags_are_refused(tag: str) -> None:
    assert "is not for here; write the plain value" in refusal(f"state_dir: {tag} x")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file or directory"):
        load(tmp_path / "none.yaml", READERS)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"config\.yaml: is no UTF-8 text \(byte 3\)"):
        load(file, READERS)


def test_a_character_that_yaml_does_not_know_is_located() -> None:
    assert refusal("a: \x01") == "config.yaml: character 4: special characters are not allowed"


def test_what_is_nested_without_end_is_refused() -> None:
    assert refusal("[" * 5000) == "config.yaml: nested too deeply"


def test_an_unknown_proxy_is_named_with_its_path() -> None:
    assert refusal("proxies: [time, time_shares]") == (
        "proxies[1]: must be one of `time`, `affine_time`, `time_share`, `tokens`, `step_model`, `peak`, "
        "not 'time_shares'; did you mean `time_share`?"
    )


@pytest.mark.parametrize("window", ["4s", "61m", "7s", "5500ms", "0s"])
def test_a_scoring_window_fits_the_grid_of_learning_windows(window: str) -> None:
    assert refusal(f"scoring: {{window: {window}}}") == (
        f"scoring.window: must be a duration from 5s to 1h and a multiple of 5s, such as 30s, 1m, not '{window}'"
    )


def test_metering_nothing_stands_alone() -> None:
    assert refusal("power: {source: [none, nvml]}") == "power.source: `none` stands alone: it meters nothing"


def test_without_a_meter_no_gpus_can_be_chosen() -> None:
    text = "power: {source: none}\nservers: [{name: chat, gpus: [0], requests: {source: vllm}}]"
    assert refusal(text) == (
        "servers[0].gpus: leave it out: power.source is `none`, so no GPU is metered to choose from"
    )


def test_what_is_said_about_a_server_has_known_names() -> None:
    said = refusal(server("{source: vllm}", about="{engin: vLLM, 7: x}"))
    assert "servers[0].about.engin: is an unknown key; did you mean `engine`?" in said
    assert "servers[0].about.7: is an unknown key; known here are `engine`, `dtype`, `parallelism`" in said


def test_what_is_said_about_a_server_is_text() -> None:
    assert "put it in quotes" in refusal(server("{source: vllm}", about="{engine: 1}"))
    assert refusal(server("{source: vllm}", about="vLLM")) == (
        "servers[0].about: must be a mapping such as {engine: ...}, not 'vLLM'"
    )


def test_a_calibration_is_a_file() -> None:
    assert refusal(server("{source: vllm}", calibration="[a]")).startswith("servers[0].calibration: must be")
