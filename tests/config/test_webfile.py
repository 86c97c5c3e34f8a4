"""The web configuration file: what it may say, and what is said about the rest."""

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.webfile import OLDER_SUITES, TLS13_SUITES, HttpFile, RateLimit, TlsFile, WebFile, parse
from exporter.domain.errors import ConfigError
from exporter.server.access.inforce import load
from tests.server.access.authority import OPENSSL, found

FILE = Path("/etc/exporter/web.yml")
HASH = "$2y$10$" + "a" * 53

NAMES = (
    *(
        "tls_server_config",
        "http_server_config",
        "rate_limit",
        "basic_auth_users",
        "headers",
        "http2",
        "interval",
        "burst",
    ),
    *("cert", "key", "cert_file", "key_file", "client_ca", "client_ca_file", "client_auth_type", "client_allowed_sans"),
    *("min_version", "max_version", "cipher_suites", "curve_preferences", "prefer_server_cipher_suites"),
)


def read(text: str) -> WebFile:
    return parse(text.encode(), FILE)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read(text)
    return str(raised.value).removeprefix(f"{FILE}: ")


@pytest.mark.parametrize("text", ["", "{}", "tls_server_config: {}", "basic_auth_users:\nhttp_server_config:\n"])
def test_a_file_without_anything_is_plain_http_for_everybody(text: str) -> None:
    file = read(text)
    assert (file.tls is None or not file.tls.is_on, file.http, file.users) == (True, HttpFile(), {})


def test_everything_at_once() -> None:
    file = read(
        f"""
        tls_server_config:
          cert_file: tls/a.crt
          key_file: /keys/a.key
          client_ca_file: ca.crt
          client_auth_type: RequireAndVerifyClientCert
          client_allowed_sans: [prometheus]
          min_version: TLS12
          max_version: TLS13
          cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
          curve_preferences: [X25519]
          prefer_server_cipher_suites: false
        http_server_config:
          http2: off
          headers: {{X-Frame-Options: deny}}
        rate_limit: {{interval: 1s, burst: 20}}
        basic_auth_users: {{alice: {HASH}}}
        """
    )
    assert file == WebFile(
        TlsFile(
            cert_file="/etc/exporter/tls/a.crt",
            key_file="/keys/a.key",
            client_ca_file="/etc/exporter/ca.crt",
            client_auth_type="RequireAndVerifyClientCert",
            client_allowed_sans=("prometheus",),
            cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",),
            curve_preferences=("X25519",),
            prefer_server_cipher_suites=False,
        ),
        HttpFile(http2=False, headers={"X-Frame-Options": "deny"}),
        RateLimit(1.0, 20),
        {"alice": HASH},
    )


CERTIFIED = "cert_file: a, key_file: b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_server_confg: {}", "tls_server_confg: is an unknown key; did you mean `tls_server_config`?"),
        ("tls_server_config: {cert_file: a}", "tls_server_config.key_file: is missing"),
        ("tls_server_config: {min_version: TLS13}", "tls_server_config.cert_file: is missing"),
        (f"tls_server_config: {{{CERTIFIED}, cert: x}}", "tls_server_config.cert: must be a certificate in PEM"),
        (f"tls_server_config: {{{CERTIFIED}, min_version: TLS14}}", "tls_server_config.min_version: must be one of"),
        (f"tls_server_config: {{{CERTIFIED}, min_version: TLS11}}", "TLS 1.0 and 1.1 are broken"),
        (f"tls_server_config: {{{CERTIFIED}, min_version: TLS13, max_version: TLS12}}", "must be at most max_version"),
        (
            f"tls_server_config: {{{CERTIFIED}, cipher_suites: [TLS_RSA]}}",
            "tls_server_config.cipher_suites[0]: must be",
        ),
        (
            f"tls_server_config: {{{CERTIFIED}, curve_preferences: [P1]}}",
            "tls_server_config.curve_preferences[0]: must",
        ),
        (f"tls_server_config: {{{CERTIFIED}, curve_preferences: [X25519, CurveP256]}}", "must name one curve"),
        (
            f"tls_server_config: {{{CERTIFIED}, client_auth_type: Sometimes}}",
            "tls_server_config.client_auth_type: must",
        ),
        (f"tls_server_config: {{{CERTIFIED}, client_ca_file: c}}", "tls_server_config.client_auth_type: is missing"),
        (
            f"tls_server_config: {{{CERTIFIED}, client_auth_type: RequireAndVerifyClientCert}}",
            "tls_server_config.client_ca_file: is missing: RequireAndVerifyClientCert verifies",
        ),
        (
            f"tls_server_config: {{{CERTIFIED}, client_allowed_sans: [a]}}",
            "tls_server_config.client_allowed_sans: needs",
        ),
        (
            "http_server_config: {headers: {X-Other: a}}",
            "http_server_config.headers.X-Other: is no header to be set here",
        ),
        ("http_server_config: {headers: {X-Frame-Options: no}}", "must be one of deny, sameorigin, not 'no'"),
        ("http_server_config: {http2: maybe}", "http_server_config.http2: must be `true` or `false`"),
        ("rate_limit: {interval: 1s}", "rate_limit.burst: must be at least 1"),
        ("basic_auth_users: [alice]", "basic_auth_users: must be a mapping"),
        ("basic_auth_users: {alice: secret}", "basic_auth_users.alice: must be a bcrypt hash"),
        (f"basic_auth_users: {{12: {HASH}}}", "basic_auth_users.12: is no user name"),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$32$')}}}", "with a cost from 4 to 31"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "basic_auth_users: {alice: hunter2-hunter2}",
        "basic_auth_users: [hunter2-hunter2]",
        "tls_server_config: {cert_file: a, key: hunter2-hunter2}",
        "tls_server_config: {cert_file: a, key: [hunter2-hunter2]}",
    ],
)
def test_no_secret_is_repeated(text: str) -> None:
    assert "hunter2" not in refusal(text)
    assert "hunter2" not in repr(WebFile(TlsFile(key="hunter2"), users={"alice": "hunter2"}))


def test_a_dollar_is_a_dollar() -> None:
    file = read("http_server_config: {headers: {Content-Security-Policy: '${NOT_FILLED_IN}'}}")
    assert file.http.headers == {"Content-Security-Policy": "${NOT_FILLED_IN}"}


def test_a_file_that_is_no_text_is_said_to_be_none() -> None:
    with pytest.raises(ConfigError, match=r"web\.yml: is no UTF-8 text"):
        parse(b"\xff\xfe", FILE)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([HASH, "TLS13", "1s"]),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), below, max_size=4)
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_whatever_it_says_is_understood_or_refused(value: Any) -> None:
    with contextlib.suppress(ConfigError):
        parse(yaml.safe_dump(value).encode("utf-8", "replace"), FILE)


@given(st.binary(max_size=200))
def test_whatever_bytes_it_holds_are_understood_or_refused(content: bytes) -> None:
    with contextlib.suppress(ConfigError):
        parse(content, FILE)


# --- as Prometheus' own tool sees it -------------------------------------------------------------------------------

PROMTOOL = shutil.which("promtool")
PAIR = "cert_file: server.crt, key_file: server.key"

GOOD = {
    "nothing": "",
    "tls": f"tls_server_config: {{{PAIR}}}",
    "verified clients": f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert, "
    "client_ca_file: ca.crt}",
    "clients verified if given": f"tls_server_config: {{{PAIR}, client_auth_type: VerifyClientCertIfGiven, "
    "client_ca_file: ca.crt}",
    "clients asked": f"tls_server_config: {{{PAIR}, client_auth_type: RequestClientCert}}",
    "clients not asked": f"tls_server_config: {{{PAIR}, client_auth_type: NoClientCert}}",
    "versions": f"tls_server_config: {{{PAIR}, min_version: TLS13, max_version: TLS13}}",
    "suites": f"tls_server_config: {{{PAIR}, cipher_suites: [{', '.join([*OLDER_SUITES, *TLS13_SUITES])}]}}",
    "a curve": f"tls_server_config: {{{PAIR}, curve_preferences: [CurveP384]}}",
    "order": f"tls_server_config: {{{PAIR}, prefer_server_cipher_suites: false}}",
    "http": "http_server_config: {http2: false, headers: {X-Frame-Options: sameorigin, X-XSS-Protection: '0'}}",
    "users": f"basic_auth_users: {{alice: {HASH}, bob: {HASH}}}",
}
BAD = {
    "an unknown key": "tls_config: {}",
    "an unknown key below": f"tls_server_config: {{{PAIR}, certificate: a}}",
    "no key": "tls_server_config: {cert_file: server.crt}",
    "no certificate": "tls_server_config: {key_file: server.key}",
    "a file that is not there": "tls_server_config: {cert_file: server.crt, key_file: nowhere.key}",
    "somebody else's key": "tls_server_config: {cert_file: server.crt, key_file: ca.key}",
    "no PEM": "tls_server_config: {cert_file: web.yml, key_file: server.key}",
    "authority without a policy": f"tls_server_config: {{{PAIR}, client_ca_file: ca.crt}}",
    "authority that is not there": f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert, "
    "client_ca_file: nowhere.crt}",
    "an unknown policy": f"tls_server_config: {{{PAIR}, client_auth_type: RequireAll}}",
    "an unknown version": f"tls_server_config: {{{PAIR}, min_version: TLS111}}",
    "an unknown suite": f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_RSA_WITH_NULL]}}",
    "an unknown curve": f"tls_server_config: {{{PAIR}, curve_preferences: [CurveP257]}}",
    "an unknown header": "http_server_config: {headers: {Server: me}}",
    "a wrong header": "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
    "no hash": "basic_auth_users: {alice: secret}",
    "no YAML": "basic_auth_users: {",
}
STRICTER = {
    "TLS options without TLS": "tls_server_config: {min_version: TLS13}",
    "verified against whoever the machine trusts": f"tls_server_config: {{{PAIR}, "
    "client_auth_type: RequireAndVerifyClientCert}",
    "any certificate": f"tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert}}",
    "broken protocols": f"tls_server_config: {{{PAIR}, min_version: TLS10}}",
    "several curves": f"tls_server_config: {{{PAIR}, curve_preferences: [X25519, CurveP256]}}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if OPENSSL is None:
        pytest.skip("the openssl command is not installed")
    folder = tmp_path_factory.mktemp("web")
    found(folder, "ca").signs("server")
    return folder


def _is_good_to_us(file: Path) -> bool:
    try:
        load(file)
    except ConfigError:
        return False
    return True


def _is_good_to_promtool(file: Path) -> bool:
    if PROMTOOL is None:
        pytest.skip("promtool is not installed")
    return subprocess.run([PROMTOOL, "check", "web-config", file], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        *(pytest.param(text, True, True, id=name) for name, text in GOOD.items()),
        *(pytest.param(text, False, False, id=name) for name, text in BAD.items()),
        *(pytest.param(text, False, True, id=name) for name, text in STRICTER.items()),
    ],
)
def test_promtool_agrees_but_where_we_are_stricter(folder: Path, text: str, ours: bool, theirs: bool) -> None:  # noqa: FBT001
    file = folder / "web.yml"
    file.write_text(text)
    assert (_is_good_to_us(file), _is_good_to_promtool(file)) == (ours, theirs)
