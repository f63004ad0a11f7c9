"""Signing keys: fetched over real HTTP and HTTPS, renewed, kept through an outage for a time, and no longer."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from elastic_jobs.api.auth.keys import KeyRing, KeyTimes
from elastic_jobs.api.auth.openid import KeysUnavailableError, Tenant, is_trustworthy, load_keys, read_keys
from tests.api.entra import TENANT, Entra, jwk, key, running_entra


@pytest.fixture
def entra() -> Iterator[Entra]:
    with running_entra() as server:
        yield server


def tenant(entra: Entra) -> Tenant:
    return Tenant(authority=entra.authority, tenant_id=TENANT)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.005)


def ring(entra: Entra, clock: Clock) -> KeyRing:
    return KeyRing(lambda: load_keys(tenant(entra)), monotonic=clock, times=KeyTimes())


def find(keys: KeyRing, kid: str) -> object:
    return asyncio.run(keys.find(kid))


def test_keys_are_fetched_once_and_kept(entra: Entra) -> None:
    keys = ring(entra, Clock())
    for _ in range(5):
        assert find(keys, "k1") == key("k1").public_key()
    assert entra.fetches == 1


def test_an_unknown_key_leads_to_one_fetch_per_interval(entra: Entra) -> None:
    clock = Clock()
    keys = ring(entra, clock)
    assert find(keys, "k1")
    for number in range(50):
        assert find(keys, f"forged{number}") is None
    assert entra.fetches == 1, "the keys had been fetched just now"
    clock.now += 30
    for number in range(50):
        assert find(keys, f"forged{number}") is None
    assert entra.fetches == 2
    assert find(keys, "k1")
    assert entra.fetches == 2


def test_a_new_key_is_found_and_one_that_was_taken_back_is_not(entra: Entra) -> None:
    clock = Clock()
    keys = ring(entra, clock)
    assert find(keys, "k1")
    entra.keys = [jwk("k2")]
    clock.now += 30
    assert find(keys, "k2") == key("k2").public_key()
    assert find(keys, "k1") is None


def test_keys_are_renewed_in_the_background_while_they_go_on_being_used(entra: Entra) -> None:
    clock = Clock()
    keys = ring(entra, clock)
    assert find(keys, "k1")
    entra.keys, entra.delay = [jwk("k2")], threading.Event()
    clock.now += 3601
    assert find(keys, "k1"), "nobody waits for the renewal"
    until(lambda: entra.fetches == 2)
    assert find(keys, "k1")
    entra.delay.set()
    until(lambda: find(keys, "k2") is not None)
    assert find(keys, "k1") is None
    assert entra.fetches == 2


def test_an_outage_keeps_known_keys_for_a_day_and_no_longer(entra: Entra) -> None:
    clock = Clock()
    keys = ring(entra, clock)
    assert find(keys, "k1")
    entra.status = 500
    for hour in range(1, 24):
        clock.now = 1000 + hour * 3600 + 1
        assert find(keys, "k1"), f"after {hour} hours"
        until(lambda expected=hour + 1: entra.fetches == expected)  # type: ignore[misc]  # mypy knows no such default
        until(lambda: keys._running is None)
    clock.now = 1000 + 24 * 3600 + 1
    with pytest.raises(KeysUnavailableError):
        find(keys, "k1")
    entra.status = 200
    clock.now += 5
    assert find(keys, "k1")


def test_during_an_outage_nobody_can_tell_whether_an_unknown_key_is_new(entra: Entra) -> None:
    clock = Clock()
    keys = ring(entra, clock)
    assert find(keys, "k1")
    entra.status = 503
    clock.now += 30
    with pytest.raises(KeysUnavailableError):
        find(keys, "k2")
    fetched = entra.fetches
    for _ in range(20):
        with pytest.raises(KeysUnavailableError):
            find(keys, "k2")
    assert entra.fetches == fetched, "a failed fetch is not repeated at once"
    assert find(keys, "k1")


def test_all_who_wait_share_one_fetch_and_the_event_loop_goes_on(entra: Entra) -> None:
    keys = ring(entra, Clock())
    entra.delay = threading.Event()

    async def scenario() -> list[object]:
        waiting = [asyncio.create_task(keys.find("k1")) for _ in range(50)]
        leaving = asyncio.create_task(keys.find("k1"))
        ticks = 0
        while entra.fetches == 0:
            await asyncio.sleep(0.001)
            ticks += 1
        assert ticks, "the loop ran while the keys were fetched"
        leaving.cancel()
        assert entra.delay is not None
        entra.delay.set()
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(scenario()) == [key("k1").public_key()] * 50
    assert entra.fetches == 1


def test_a_loader_that_breaks_is_an_outage_and_not_the_end() -> None:
    clock = Clock()
    answers: list[Any] = [RuntimeError("odd"), {}, {"k1": key("k1").public_key()}]

    def load() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = KeyRing(load, monotonic=clock)
    for _ in range(2):
        with pytest.raises(KeysUnavailableError):
            find(keys, "k1")
        clock.now += 5
    assert find(keys, "k1")


@pytest.mark.parametrize(
    ("entry", "usable"),
    [
        (jwk("k1"), True),
        (jwk("k1", use=None), True),
        (jwk("k1", alg="RS256"), True),
        (jwk("k1", issuer="https://e/{tenantid}/v2.0"), True),
        (jwk("k1", issuer=f"https://e/{TENANT}/v2.0"), True),
        (jwk("k1", issuer="https://e/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"), False),
        (jwk("k1", use="enc"), False),
        (jwk("k1", alg="RS512"), False),
        (jwk("k1", alg="HS256"), False),
        (jwk("k1", kid=None), False),
        (jwk("k1", kid=7), False),
        (jwk("k1", kid=""), False),
        (jwk("k1", n=None), False),
        (jwk("k1", n=7), False),
        (jwk("k1", n="!"), False),
        (jwk("k1", e="AA"), False),
        (jwk("short", 1024), False),
        ({"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}, False),
        ({"kty": "EC", "kid": "k1", "crv": "P-256", "x": "AA", "y": "AA"}, False),
        ("k1", False),
        (None, False),
    ],
)
def test_which_keys_may_sign(entry: Any, usable: bool) -> None:
    found = read_keys({"keys": [entry, jwk("other")]}, Tenant(authority="https://e", tenant_id=TENANT))
    assert len(found) == (2 if usable else 1)


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "k1"}])
def test_a_document_without_keys(document: dict[str, Any]) -> None:
    assert read_keys(document, Tenant(authority="https://e", tenant_id=TENANT)) == {}


def test_the_first_of_two_keys_of_one_name_counts() -> None:
    second = jwk("k2", kid="k1")
    found = read_keys({"keys": [jwk("k1"), second]}, Tenant(authority="https://e", tenant_id=TENANT))
    assert found == {"k1": key("k1").public_key()}


@pytest.mark.parametrize(
    "changed",
    [
        {"status": 404},
        {"status": 302},
        {"body": b"<html>"},
        {"body": b"[]"},
        {"body": b"[" * 200_000},
        {"body": b'{"keys": []}'},
        {"body": json.dumps({"keys": [jwk("k1")]}).encode() + b" " * 1024 * 1024},
        {"metadata": {"issuer": "https://login.microsoftonline.com/common/v2.0"}},
        {"metadata": {"jwks_uri": None}},
        {"metadata": {"jwks_uri": "http://example.com/keys"}},
        {"metadata": {"jwks_uri": "file:///etc/passwd"}},
        {"metadata": {"jwks_uri": "http://[/"}},
    ],
)
def test_answers_that_are_not_believed(entra: Entra, changed: dict[str, Any]) -> None:
    for name, value in changed.items():
        setattr(entra, name, value)
    with pytest.raises(KeysUnavailableError):
        load_keys(tenant(entra))
    assert entra.fetches <= 1, "a redirection is not followed"


def test_an_answer_that_drips_or_does_not_come_is_given_up(entra: Entra) -> None:
    entra.drip = True
    with pytest.raises(KeysUnavailableError, match="in time"):
        load_keys(tenant(entra), seconds=0.2)
    entra.drip, entra.delay = False, threading.Event()
    with pytest.raises(KeysUnavailableError, match="timed out"):
        load_keys(tenant(entra), seconds=0.2)


def test_nobody_listens() -> None:
    with running_entra() as entra:
        gone = tenant(entra)
    with pytest.raises(KeysUnavailableError, match=r"cannot be read"):
        load_keys(gone)


@pytest.mark.parametrize(
    ("url", "plain", "trusted"),
    [
        ("https://login.microsoftonline.com/x", False, True),
        ("http://login.microsoftonline.com/x", False, False),
        ("http://login.microsoftonline.com/x", True, False),
        ("http://127.0.0.1/x", False, False),
        ("http://127.0.0.1/x", True, True),
        ("http://[::1]:80/x", True, True),
        ("http://127.0.0.1.example.com/x", True, False),
        ("ftp://127.0.0.1/x", True, False),
        ("https:///x", True, False),
    ],
)
def test_where_keys_may_come_from(url: str, plain: bool, trusted: bool) -> None:
    assert is_trustworthy(url, plain=plain) is trusted


def test_both_versions_of_tokens_have_their_issuers() -> None:
    public = Tenant(authority="https://login.microsoftonline.com", tenant_id=TENANT)
    assert public.issuers == {
        f"https://login.microsoftonline.com/{TENANT}/v2.0",
        f"https://sts.windows.net/{TENANT}/",
    }
    china = Tenant(authority="https://login.partner.microsoftonline.cn", tenant_id=TENANT)
    assert f"https://sts.chinacloudapi.cn/{TENANT}/" in china.issuers
    assert len(china.issuers) == 2


def _certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    own = key("tls")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(own, hashes.SHA256())
    )
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "loopback.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


def test_keys_come_over_verified_tls_only(tmp_path: Path) -> None:
    pem = _certificate(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    with running_entra(server) as entra:
        trusting = ssl.create_default_context(cafile=str(pem))
        assert load_keys(tenant(entra), tls=trusting) == {"k1": key("k1").public_key()}
        with pytest.raises(KeysUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            load_keys(tenant(entra))
        entra.metadata = {"jwks_uri": entra.authority.replace("https:", "http:") + "/keys"}
        with pytest.raises(KeysUnavailableError, match="no https address"):
            load_keys(tenant(entra), tls=trusting)
