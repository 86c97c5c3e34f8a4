"""TLS with real certificates: who is answered, and certificates that are replaced while we run."""

import asyncio
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from exporter.config.webfile import ClientAuth
from exporter.server.access.inforce import load
from exporter.server.access.tls import dates_of
from tests.server.access.authority import Authority, Pair, found, needs_openssl
from tests.server.access.conftest import HASH, PASSWORD, basic, listening, over_tls, trusting, written

pytestmark = needs_openssl


async def test_metrics_are_served_over_tls_and_not_without(
    tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    async with listening(written(tmp_path, {"tls_server_config": over_tls(server_pair)})) as listener:
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session:
                await session.get(listener.url.replace("https", "http") + "/metrics")


async def test_relative_paths_begin_beside_the_file(tmp_path: Path, authority: Authority, server_pair: Pair) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "a.crt").write_bytes(server_pair.certificate.read_bytes())
    (tmp_path / "tls" / "a.key").write_bytes(server_pair.key.read_bytes())
    content = {"tls_server_config": {"cert_file": "tls/a.crt", "key_file": "tls/a.key"}}
    async with listening(written(tmp_path, content)) as listener:
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200


async def test_certificate_and_key_may_stand_in_the_file(
    tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    content = {"cert": server_pair.certificate.read_text(), "key": server_pair.key.read_text()}
    async with listening(written(tmp_path, {"tls_server_config": content})) as listener:
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200


Outcome = int | None
"""A status, or None where there is no connection to answer on."""


@pytest.mark.parametrize(
    ("policy", "nothing", "ours", "foreign"),
    [
        ("NoClientCert", 200, 200, 200),
        ("RequestClientCert", 200, 200, 200),
        ("VerifyClientCertIfGiven", 200, 200, None),
        ("RequireAndVerifyClientCert", None, 200, None),
    ],
)
async def test_client_certificates_are_asked_for_by_policy(  # noqa: PLR0917 - fixtures, and a row of the table
    tmp_path: Path,
    authority: Authority,
    server_pair: Pair,
    client_pair: Pair,
    policy: ClientAuth,
    nothing: Outcome,
    ours: Outcome,
    foreign: Outcome,
) -> None:
    authorities = {} if policy == "NoClientCert" else {"client_ca_file": str(authority.pair.certificate)}
    tls = over_tls(server_pair, client_auth_type=policy, **authorities)
    stranger = found(tmp_path, "stranger").signs("somebody", usage="clientAuth")
    async with listening(written(tmp_path, {"tls_server_config": tls}), "closed") as listener:
        for shown, expected in ((None, nothing), (client_pair, ours), (stranger, foreign)):
            if expected is None:
                with pytest.raises(aiohttp.ClientError):
                    await listener.get("/metrics", trusting(authority, shown))
            else:
                assert (await listener.get("/metrics", trusting(authority, shown)))[0] == expected


async def test_where_probes_are_open_they_alone_need_no_certificate(
    tmp_path: Path, authority: Authority, server_pair: Pair, client_pair: Pair
) -> None:
    tls = over_tls(
        server_pair, client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(authority.pair.certificate)
    )
    async with listening(written(tmp_path, {"tls_server_config": tls}), "open") as listener:
        assert (await listener.get("/-/healthy", trusting(authority)))[0] == 200
        for path in ("/", "/metrics", "/api/v1/requests", "/no/such/page", "/-/healthy/"):
            assert (await listener.get(path, trusting(authority)))[:2] == (403, "this needs a client certificate\n")
        assert (await listener.get("/metrics", trusting(authority, client_pair)))[0] == 200
        assert listener.doors.view().refused == {"no_certificate": 5}


@pytest.mark.parametrize(
    ("allowed", "status"),
    [
        (["prometheus.example"], 200),
        (["spiffe://here/scraper", "other"], 200),
        (["example"], 403),
        (["PROMETHEUS.example"], 403),
    ],
)
async def test_a_client_certificate_has_one_of_the_allowed_names(  # noqa: PLR0917 - as above
    tmp_path: Path, authority: Authority, server_pair: Pair, client_pair: Pair, allowed: list[str], status: int
) -> None:
    tls = over_tls(
        server_pair,
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file=str(authority.pair.certificate),
        client_allowed_sans=allowed,
    )
    async with listening(written(tmp_path, {"tls_server_config": tls}), "closed") as listener:
        assert (await listener.get("/metrics", trusting(authority, client_pair)))[0] == status


async def test_an_expired_client_certificate_is_none(tmp_path: Path, authority: Authority, server_pair: Pair) -> None:
    expired = authority.signs("expired", days=-1, usage="clientAuth")
    tls = over_tls(
        server_pair, client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(authority.pair.certificate)
    )
    async with listening(written(tmp_path, {"tls_server_config": tls})) as listener:
        with pytest.raises(aiohttp.ClientError):
            await listener.get("/-/healthy", trusting(authority, expired))


async def test_a_password_is_needed_beside_a_certificate(
    tmp_path: Path, authority: Authority, server_pair: Pair, client_pair: Pair
) -> None:
    tls = over_tls(
        server_pair, client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(authority.pair.certificate)
    )
    content = {"tls_server_config": tls, "basic_auth_users": {"alice": HASH}}
    async with listening(written(tmp_path, content)) as listener:
        client = trusting(authority, client_pair)
        assert (await listener.get("/metrics", client))[0] == 401
        assert (await listener.get("/metrics", client, headers=basic("alice", PASSWORD)))[0] == 200
        assert (await listener.get("/metrics", trusting(authority), headers=basic("alice", PASSWORD)))[0] == 403


# --- what is spoken ------------------------------------------------------------------------------------------------


def _spoken(url: str, client: ssl.SSLContext) -> tuple[str | None, str]:
    """Version and suite of a connection."""
    port = int(url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        client.wrap_socket(raw, server_hostname="localhost") as made,
    ):
        cipher = made.cipher()
        assert cipher is not None
        return made.version(), cipher[0]


async def _speak(url: str, client: ssl.SSLContext) -> tuple[str | None, str]:
    return await asyncio.to_thread(_spoken, url, client)


async def test_versions_are_bounded(tmp_path: Path, authority: Authority, server_pair: Pair) -> None:
    client = trusting(authority)
    async with listening(written(tmp_path, {"tls_server_config": over_tls(server_pair, max_version="TLS12")})) as old:
        assert (await _speak(old.url, client))[0] == "TLSv1.2"
    async with listening(written(tmp_path, {"tls_server_config": over_tls(server_pair, min_version="TLS13")})) as new:
        assert (await _speak(new.url, client))[0] == "TLSv1.3"
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            await _speak(new.url, client)


@pytest.mark.parametrize(
    ("servers_order", "suite"), [(True, "ECDHE-ECDSA-AES256-GCM-SHA384"), (False, "ECDHE-ECDSA-AES128-GCM-SHA256")]
)
async def test_suites_are_those_listed_in_the_order_of_whoever_is_preferred(
    tmp_path: Path,
    authority: Authority,
    server_pair: Pair,
    servers_order: bool,  # noqa: FBT001 - a row of the table
    suite: str,
) -> None:
    suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
    tls = over_tls(server_pair, cipher_suites=suites, prefer_server_cipher_suites=servers_order)
    client = trusting(authority)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    async with listening(written(tmp_path, {"tls_server_config": tls})) as listener:
        assert (await _speak(listener.url, client))[1] == suite
        client.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
        with pytest.raises(ssl.SSLError):
            await _speak(listener.url, client)


async def test_suites_of_tls_1_3_alone_leave_tls_1_2_out(
    tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    tls = over_tls(server_pair, cipher_suites=["TLS_AES_128_GCM_SHA256"])
    client = trusting(authority)
    async with listening(written(tmp_path, {"tls_server_config": tls})) as listener:
        assert (await _speak(listener.url, client))[0] == "TLSv1.3"
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            await _speak(listener.url, client)


@pytest.mark.parametrize(
    ("curve", "theirs"), [("CurveP256", "prime256v1"), ("CurveP384", "secp384r1"), ("X25519", "X25519")]
)
async def test_the_curve_is_the_one_that_is_named(
    tmp_path: Path, authority: Authority, server_pair: Pair, curve: str, theirs: str
) -> None:
    tls = over_tls(server_pair, curve_preferences=[curve])
    async with listening(written(tmp_path, {"tls_server_config": tls})) as listener:
        client = trusting(authority)
        client.set_ecdh_curve(theirs)
        assert (await _speak(listener.url, client))[0] == "TLSv1.3"
        client.set_ecdh_curve("secp521r1")
        with pytest.raises(ssl.SSLError):
            await _speak(listener.url, client)


async def test_http_1_1_is_what_is_agreed_on(tmp_path: Path, authority: Authority, server_pair: Pair) -> None:
    client = trusting(authority)
    client.set_alpn_protocols(["h2", "http/1.1"])
    async with listening(written(tmp_path, {"tls_server_config": over_tls(server_pair)})) as listener:
        assert (await listener.get("/metrics", client))[0] == 200


# --- replaced while we run -----------------------------------------------------------------------------------------


def _install(pair: Pair, folder: Path) -> None:
    (folder / "tls.crt").write_bytes(pair.certificate.read_bytes())
    (folder / "tls.key").write_bytes(pair.key.read_bytes())


@pytest.fixture
def replaceable(tmp_path: Path, server_pair: Pair) -> Path:
    _install(server_pair, tmp_path)
    return written(tmp_path, {"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"}})


async def test_a_renewed_certificate_is_the_next_clients(replaceable: Path, authority: Authority) -> None:
    async with listening(replaceable) as listener:
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200
        successor = found(replaceable.parent, "successor")
        _install(successor.signs("renewed", days=60), replaceable.parent)
        assert (await listener.get("/metrics", trusting(successor)))[0] == 200
        with pytest.raises(aiohttp.ClientError):
            await listener.get("/metrics", trusting(authority))
        assert listener.doors.view().good


async def test_a_key_that_comes_later_than_its_certificate_is_waited_for(
    replaceable: Path, authority: Authority
) -> None:
    renewed = authority.signs("half")
    async with listening(replaceable) as listener:
        before = listener.in_force.loaded.material
        (replaceable.parent / "tls.crt").write_bytes(renewed.certificate.read_bytes())
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200
        assert listener.in_force.loaded.material is before
        assert not listener.doors.view().good
        (replaceable.parent / "tls.key").write_bytes(renewed.key.read_bytes())
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200
        assert listener.in_force.loaded.material is not before
        assert listener.doors.view().good


async def test_links_that_are_swapped_are_followed_as_kubernetes_swaps_them(
    tmp_path: Path, authority: Authority
) -> None:
    for name, pair in (("one", authority.signs("one")), ("two", authority.signs("two"))):
        (tmp_path / name).mkdir()
        _install(pair, tmp_path / name)
    data = tmp_path / "..data"
    data.symlink_to("one")
    content = {"tls_server_config": {"cert_file": "..data/tls.crt", "key_file": "..data/tls.key"}}
    async with listening(written(tmp_path, content)) as listener:
        before = listener.in_force.loaded.material
        (tmp_path / "..tmp").symlink_to("two")
        (tmp_path / "..tmp").rename(data)
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200
        assert listener.in_force.loaded.material != before


async def test_a_new_authority_for_clients_counts_at_once(
    tmp_path: Path, authority: Authority, server_pair: Pair, client_pair: Pair
) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_bytes(authority.pair.certificate.read_bytes())
    tls = over_tls(server_pair, client_auth_type="RequireAndVerifyClientCert", client_ca_file=str(ca))
    async with listening(written(tmp_path, {"tls_server_config": tls}), "closed") as listener:
        assert (await listener.get("/metrics", trusting(authority, client_pair)))[0] == 200
        ca.write_bytes(found(tmp_path, "another").pair.certificate.read_bytes())
        with pytest.raises(aiohttp.ClientError):
            await listener.get("/metrics", trusting(authority, client_pair))


async def test_tls_does_not_end_while_we_listen(replaceable: Path, authority: Authority) -> None:
    async with listening(replaceable) as listener:
        written(replaceable.parent, "{}")
        assert (await listener.get("/metrics", trusting(authority)))[0] == 200
        assert not listener.doors.view().good


def test_the_dates_of_a_certificate_are_known_even_if_it_has_expired(tmp_path: Path, authority: Authority) -> None:
    for days in (90, -1):
        pair = authority.signs(f"for{days}", days=days)
        material = load(written(tmp_path, {"tls_server_config": over_tls(pair)})).material
        assert material is not None
        dates = dates_of(material)
        assert dates is not None
        assert dates.ends - dates.begins == pytest.approx(days * 86_400, abs=2)
