"""Real fronts before a server: nginx and HAProxy, each logging exactly as our own advice says.

The formats are cut out of what `doctor` and docs/SERVERS.md tell users to write, so that advice which a front refuses,
or which our readers do not understand, fails here.
"""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

from exporter.requests.fronts import combined, haproxy
from exporter.requests.fronts.profiles import SETUP
from tests.e2e.programs import running_program
from tests.e2e.web import free_port

_NGINX = Template("""
daemon off;
master_process off;
pid $folder/nginx.pid;
error_log $folder/errors.log;
events {}
http {
    $json_format
    $combined_format
    log_format short '$$remote_addr - $$remote_user [$$time_local] "$$request" $$status $$body_bytes_sent '
                     '"$$http_referer" "$$http_user_agent" $$request_time';
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port;
        access_log $folder/combined.log combined_energy;
        access_log $folder/short.log short;
        $json_log
        location / {
            proxy_pass $server;
            proxy_http_version 1.1;
            proxy_buffering off;
        }
    }
}
""")
_HAPROXY = Template("""
global
    log stdout format raw local0
defaults
    mode http
    log global
    option abortonclose
    timeout connect 10s
    timeout client 120s
    timeout server 120s
frontend llm
    bind 127.0.0.1:$port
    unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
    $format
    default_backend llm
backend llm
    server s1 $server
""")


@dataclass(frozen=True)
class Nginx:
    """An nginx that answers at `url` and writes three logs: in JSON, combined with all we advise, combined with a time.

    Attributes:
        fields: what stands at the end of the lines of `combined`, as the advice names it.
    """

    url: str
    json: Path
    combined: Path
    short: Path
    fields: list[str]


@dataclass(frozen=True)
class Haproxy:
    """An HAProxy that answers at `url` and writes one log."""

    url: str
    log: Path


def find_nginx() -> str | None:
    """The installed nginx, which stands where a user's path may not lead."""
    return shutil.which("nginx", path=_path())


def find_haproxy() -> str | None:
    """The installed HAProxy."""
    return shutil.which("haproxy", path=_path())


@contextmanager
def running_nginx(program: str, server: str, folder: Path) -> Iterator[Nginx]:
    """Starts nginx before the server at the URL `server`, with everything it writes in `folder`."""
    port, (combined_format, fields) = free_port(), _combined_advice()
    json_format, json_log = _nginx_setup(folder)
    config = folder / "nginx.conf"
    config.write_text(
        _NGINX.substitute(
            folder=folder,
            port=port,
            server=server,
            json_format=json_format,
            json_log=json_log,
            combined_format=combined_format.replace("log_format energy", "log_format combined_energy"),
        )
    )
    command = [program, "-c", str(config), "-p", str(folder), "-e", str(folder / "errors.log")]
    with running_program(command, lambda: _listens(port), log=folder / "nginx.out"):
        nginx = Nginx(
            f"http://127.0.0.1:{port}", folder / "json.log", folder / "combined.log", folder / "short.log", fields
        )
        yield nginx


@contextmanager
def running_haproxy(program: str, server: str, folder: Path, form: str) -> Iterator[Haproxy]:
    """Starts HAProxy before the server at the URL `server`, with the log format that one of HAPROXY_FORMATS names."""
    port, config, log = free_port(), folder / "haproxy.cfg", folder / "haproxy.log"
    config.write_text(_HAPROXY.safe_substitute(port=port, server=urlsplit(server).netloc, format=HAPROXY_FORMATS[form]))
    command = [program, "-db", "-f", str(config)]
    with running_program(command, lambda: _listens(port), log=log, errors=folder / "errors.log"):
        yield Haproxy(f"http://127.0.0.1:{port}", log)


def _nginx_setup(folder: Path) -> tuple[str, str]:
    """The advised format, and the advised log into `folder`."""
    found = re.fullmatch(r"(log_format energy .*';) (access_log /logs/energy\.log energy;)", SETUP["nginx"])
    assert found, "the advice on nginx has another shape than this test knows"
    return found[1], found[2].replace("/logs/energy.log", str(folder / "json.log"))


def _combined_advice() -> tuple[str, list[str]]:
    """The advised format for combined lines, and the fields to be configured with it."""
    found = re.search(r"nginx: (log_format energy '.*?';) with fields: \[([^\]]*)\]", combined.ADVICE)
    assert found, "the advice on combined lines has another shape than this test knows"
    return found[1], found[2].split(", ")


def _haproxy_httplog() -> str:
    assert "option httplog without option logasap" in haproxy.ADVICE
    assert "`option abortonclose`" in haproxy.ADVICE  # stands in the configuration above
    [capture] = re.findall(r"`(capture request header [^`]*)`", haproxy.ADVICE)
    return f"option httplog\n    {capture}"


def _haproxy_json() -> str:
    found = re.match(r"log-format '[^']*'", SETUP["haproxy"])
    assert found, "the advice on HAProxy has another shape than this test knows"
    return found[0]


HAPROXY_FORMATS = {"httplog": _haproxy_httplog(), "json": _haproxy_json()}
HAPROXY_SOURCES: dict[str, dict[str, Any]] = {
    "httplog": {"source": "haproxy", "captures": ["request_id"]},
    "json": {"source": "jsonl", "profile": "haproxy"},
}
"""How a log of that format is read, as the advice says."""


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
