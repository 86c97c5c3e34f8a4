import subprocess
import sys
from typing import Any

import pytest

from exporter.domain.errors import ConfigError
from exporter.domain.settings import ListenAddress
from exporter.requests.posted.proxied import check

UPSTREAM = {"upstream": "http://127.0.0.1:8000"}


def test_the_upstream_is_all_that_is_needed() -> None:
    options = check(UPSTREAM, None)
    assert options.upstream == "http://127.0.0.1:8000"
    assert options.listen == ListenAddress("0.0.0.0", 8080)  # noqa: S104
    assert (options.request_id_header, options.request_id, options.count_chunks) == ("X-Request-Id", "make", "auto")
    assert not options.energy_header
    assert options.wanted("POST /v1/chat/completions")
    assert not options.wanted("GET /v1/chat/completions")
    assert not options.wanted("POST /v1/models")


def test_every_option_can_be_given() -> None:
    options = check(
        {
            "upstream": "https://llm.example:8443/base/",
            "listen": "[::1]:9000",
            "paths": ["/ask"],
            "request_id_header": "X-Call",
            "request_id": "keep",
            "count_chunks": "never",
            "energy_header": True,
            "connect_timeout": "500ms",
            "read_timeout": "2m",
            "ca_file": "/ca.pem",
        },
        None,
    )
    assert options.upstream == "https://llm.example:8443/base"
    assert options.listen == ListenAddress("::1", 9000)
    assert options.wanted("POST /v2/ask?x=1")
    assert not options.wanted("POST /v1/completions")
    assert (options.connect_timeout_seconds, options.read_timeout_seconds) == (0.5, 120.0)
    assert options.energy_header
    assert options.ca_file == "/ca.pem"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("upstream", 8000),
        ("upstream", ""),
        ("upstream", "127.0.0.1:8000"),
        ("upstream", "ftp://host"),
        ("upstream", "http://"),
        ("upstream", "http://host:99999"),
        ("upstream", "http://host:x"),
        ("upstream", "http://[::1"),
        ("upstream", "http://host/?a=1"),
        ("upstream", "http://host/#here"),
        ("upstream", "http://ho st"),
        ("upstream", "http://host/\n"),
        ("listen", 8080),
        ("listen", "8080"),
        ("listen", "host:70000"),
        ("request_id_header", "X Request"),
        ("request_id_header", "Host"),
        ("request_id_header", ""),
        ("request_id", "sometimes"),
        ("request_id", ["make"]),
        ("count_chunks", True),
        ("energy_header", "yes"),
        ("connect_timeout", 10),
        ("connect_timeout", "0s"),
        ("read_timeout", "25h"),
        ("ca_file", ""),
        ("paths", "/v1/completions"),
        ("path", "/var/log/x"),
    ],
)
def test_a_wrong_option_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        check(UPSTREAM | {key: value}, None)
    assert refused.value.path == f"options.{key}"


def test_a_missing_upstream_is_named() -> None:
    with pytest.raises(ConfigError, match="http://127"):
        check({}, None)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        check({"upstream": "http://me:secret@host"}, None)
    assert "secret" not in str(refused.value)


def test_options_are_checked_without_the_http_library() -> None:
    program = "import sys, exporter.requests.posted.proxied; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
