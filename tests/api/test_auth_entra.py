"""AUTH_MODE=entra against real keys and a real key server: what is let in, and everything that is not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.mgmt.sql import SqlManagementClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elastic_jobs.api.auth import EntraAuthenticator, described
from tests.api import support
from tests.api.entra import APP_ID, AUDIENCE, CLIENT_ID, OBJECT_ID, TENANT, Entra, jwk, key, running_entra
from tests.api.support import Server, running

OTHER = str(uuid4())
V1 = f"https://sts.windows.net/{TENANT}/"
NAME = f"alice@contoso.com (user {OBJECT_ID}, client {APP_ID})"


@dataclass
class Deployment:
    entra: Entra
    server: Server

    def get(self, token: str, path: str = "/agent/jobs") -> httpx.Response:
        return self.server.http.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with (
        running_entra() as entra,
        running(tmp_path_factory.mktemp("entra"), **_settings(entra)) as server,
    ):
        yield Deployment(entra, server)


@pytest.fixture
def deployment(shared: Deployment) -> Deployment:
    shared.entra.status, shared.entra.keys = 200, [jwk("k1")]
    return shared


def _settings(entra: Entra) -> dict[str, str]:
    return {
        "AUTH_MODE": "entra",
        "LOCAL_AUTH_KEY": support.KEY,
        "ENTRA_TENANT_ID": TENANT,
        "ENTRA_AUDIENCE": f"{AUDIENCE}, {CLIENT_ID}",
        "ENTRA_AUTHORITY": entra.authority,
    }


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


REFUSED = (401, "InvalidAuthenticationToken")
LET_IN = (404, "JobAgentNotFound")
"""The job database is empty: whoever is let in and has a role finds no agent."""


def _unsigned(claims: dict[str, Any], header: dict[str, Any], signature: bytes = b"") -> str:
    def segment(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    signed = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(claims).encode())}"
    return f"{signed}.{segment(signature)}"


def _hmac(claims: dict[str, Any], secret: bytes, header: dict[str, Any]) -> str:
    signed = _unsigned(claims, header).rpartition(".")[0]
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"iss": V1, "aud": AUDIENCE, "azp": None, "appid": APP_ID, "ver": "1.0"},
        {"tid": TENANT.upper()},
        {"aud": AUDIENCE},
        {"preferred_username": None},
        {"scp": None},
    ],
)
def test_tokens_that_are_let_in(deployment: Deployment, changed: dict[str, Any]) -> None:
    assert code_of(deployment.get(deployment.entra.token("Reader", **changed))) == LET_IN


@pytest.mark.parametrize(("claim", "seconds"), [("exp", -30), ("nbf", 30)])
def test_clocks_may_differ_by_half_a_minute(deployment: Deployment, claim: str, seconds: int) -> None:
    # Counted from now and not from the collection of the tests, which may be many minutes ago.
    assert code_of(deployment.get(_shifted(deployment, claim, seconds))) == LET_IN


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_tokens_of_the_future_are_refused(deployment: Deployment, claim: str) -> None:
    assert code_of(deployment.get(_shifted(deployment, claim, 600))) == REFUSED


def _shifted(deployment: Deployment, claim: str, seconds: int) -> str:
    """A token with one of its times so many seconds from now."""
    changed: dict[str, Any] = {claim: int(time.time()) + seconds}
    return deployment.entra.token("Reader", **changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "https://management.azure.com"},
        {"aud": f"api://{OTHER}"},
        {"aud": AUDIENCE + "/"},
        {"aud": [f"api://{OTHER}"]},
        {"aud": None},
        {"iss": f"https://login.microsoftonline.com/{TENANT}/v2.0"},
        {"iss": f"https://sts.windows.net/{OTHER}/"},
        {"iss": f"https://sts.windows.net/{TENANT}"},
        {"iss": None},
        {"iss": [V1]},
        {"tid": OTHER},
        {"tid": None},
        {"tid": [TENANT]},
        {"iss": V1, "tid": OTHER},
        {"oid": None},
        {"oid": "alice"},
        {"oid": [OBJECT_ID]},
        {"azp": None},
        {"azp": "alice"},
        {"nbf": None},
        {"iat": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": [1]},
    ],
)
def test_rightly_signed_tokens_that_are_not_for_us(deployment: Deployment, changed: dict[str, Any]) -> None:
    assert code_of(deployment.get(deployment.entra.token("Reader", **changed))) == REFUSED


def test_an_expired_token_is_told_so(deployment: Deployment) -> None:
    answer = deployment.get(deployment.entra.token("Reader", exp=int(time.time()) - 90))
    assert code_of(answer) == (401, "ExpiredAuthenticationToken")


def test_an_id_token_for_the_same_audience_is_no_access_token(deployment: Deployment) -> None:
    token = deployment.entra.token("Contributor", azp=None, scp=None, nonce="n", name="Alice")
    assert code_of(deployment.get(token)) == REFUSED


def test_forged_signatures(deployment: Deployment) -> None:
    """None of these was signed with a key of the tenant, whatever its header says."""
    claims = deployment.entra.claims("Contributor")
    public = key("k1").public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    modulus = public.public_numbers().n.to_bytes(256, "big")
    hs = {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    right = deployment.entra.token("Reader")
    header, _, signature = right.split(".")
    other_claims = _unsigned(claims, {}).split(".")[1]
    curve = ec.generate_private_key(ec.SECP256R1())
    forged = {
        "none": _unsigned(claims, {"alg": "none", "kid": "k1"}),
        "None": _unsigned(claims, {"alg": "None", "kid": "k1"}),
        "no alg": _unsigned(claims, {"kid": "k1"}),
        "alg is a list": _unsigned(claims, {"alg": ["RS256"], "kid": "k1"}),
        "RS256 without a signature": _unsigned(claims, {"alg": "RS256", "kid": "k1"}),
        "HS256 with the public key": _hmac(claims, pem, hs),
        "HS256 with the public key's bytes": _hmac(claims, der, hs),
        "HS256 with the modulus": _hmac(claims, modulus, hs),
        "HS256 with the key of local mode": _hmac(claims, support.KEY.encode(), hs),
        "HS256 with nothing": _hmac(claims, b"", hs),
        "RS256 signed as HS256": _hmac(claims, pem, {"alg": "RS256", "kid": "k1"}),
        "another key under a known id": jwt.encode(claims, key("evil"), "RS256", headers={"kid": "k1"}),
        "RS384": jwt.encode(claims, key("k1"), "RS384", headers={"kid": "k1"}),
        "PS256": jwt.encode(claims, key("k1"), "PS256", headers={"kid": "k1"}),
        "ES256": jwt.encode(claims, curve, "ES256", headers={"kid": "k1"}),
        "other claims under a signature": f"{header}.{other_claims}.{signature}",
        "a signature cut short": right[:-8],
        "claims not encoded": jwt.encode(
            claims, key("k1"), "RS256", headers={"kid": "k1", "b64": False, "crit": ["b64"]}
        ),
        "an unknown critical extension": jwt.encode(
            claims, key("k1"), "RS256", headers={"kid": "k1", "crit": ["http://x"], "http://x": True}
        ),
        "local mode's own": support.token("Contributor"),
    }
    for what, token in forged.items():
        assert code_of(deployment.get(token)) == REFUSED, what
    assert code_of(deployment.get(right)) == LET_IN


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"kid": "evil"},
        {"kid": "../../k1"},
        {"kid": "k1' OR 1=1 --"},
        {"kid": "k" * 10_000},
        {"kid": "evil", "jwk": jwk("evil")},
        {"kid": "evil", "jku": "https://evil.example.com/keys"},
        {"kid": "evil", "x5u": "https://evil.example.com/keys", "x5c": ["AAAA"], "x5t": "evil"},
    ],
)
def test_a_key_that_the_token_itself_brings_or_names(deployment: Deployment, headers: dict[str, Any]) -> None:
    token = jwt.encode(deployment.entra.claims("Contributor"), key("evil"), "RS256", headers=headers)
    assert code_of(deployment.get(token)) == REFUSED


def test_forged_key_ids_do_not_hammer_entra(deployment: Deployment) -> None:
    assert code_of(deployment.get(deployment.entra.token("Reader"))) == LET_IN
    before = deployment.entra.fetches
    for number in range(30):
        token = jwt.encode(deployment.entra.claims("Reader"), key("evil"), "RS256", headers={"kid": f"x{number}"})
        assert code_of(deployment.get(token)) == REFUSED
    assert deployment.entra.fetches <= before + 1


def test_huge_and_odd_tokens(deployment: Deployment) -> None:
    nested = base64.urlsafe_b64encode(b"[" * 20_000).rstrip(b"=").decode()
    right = deployment.entra.token("Reader")
    for token in (
        "a" * 40_000,
        "a" * 33_000 + ".b.c",
        ".".join(["a"] * 5000),
        f"{nested}.e30.AAAA",
        f"{right}.{right}",
        f"{right} {right}",
        f"{right},Bearer {right}",
        f"{right}=",
        "..",
        "null.null.null",
    ):
        assert code_of(deployment.get(token)) == REFUSED, token[:40]
    beyond_ascii = {b"Authorization": f"Bearer {right}\u00e9".encode("latin-1")}
    assert code_of(deployment.server.http.get("/agent/jobs", headers=beyond_ascii)) == REFUSED
    large = deployment.entra.token("Reader", groups=[str(uuid4()) for _ in range(200)])
    assert code_of(deployment.get(large)) == LET_IN


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_no_token_is_401(deployment: Deployment, token: str) -> None:
    answer = deployment.get(token)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] in {"InvalidAuthenticationToken", "AuthenticationFailed"}


@given(st.integers(0, 10_000), st.sampled_from("ABCxyz019-_."))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_token_changed_at_any_place_is_refused(deployment: Deployment, place: int, new: str) -> None:
    right = deployment.entra.token("Reader")
    place %= len(right)
    changed = right[:place] + new + right[place + 1 :]
    if changed != right:
        assert deployment.get(changed).status_code == 401


def test_two_authorization_headers_are_one_too_many(deployment: Deployment) -> None:
    right = deployment.entra.token("Contributor")
    headers = [("Authorization", f"Bearer {right}"), ("Authorization", f"Bearer {right}")]
    answer = httpx.get(f"{deployment.server.url}/agent/jobs", headers=headers)
    assert code_of(answer) == (401, "AuthenticationFailed")


def test_headers_of_the_platform_open_nothing(deployment: Deployment) -> None:
    principal = {
        "auth_typ": "aad",
        "claims": [{"typ": "roles", "val": "Contributor"}, {"typ": "oid", "val": OBJECT_ID}],
        "role_typ": "roles",
    }
    platform = {
        "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(principal).encode()).decode(),
        "X-MS-CLIENT-PRINCIPAL-ID": OBJECT_ID,
        "X-MS-CLIENT-PRINCIPAL-NAME": "alice@contoso.com",
        "X-MS-TOKEN-AAD-ACCESS-TOKEN": deployment.entra.token("Contributor"),
        "X-MS-TOKEN-AAD-ID-TOKEN": deployment.entra.token("Contributor"),
        "X-ARR-ClientCert": "AAAA",
        "x-functions-key": "AAAA",
        "X-Original-URL": "/health",
        "X-Rewrite-URL": "/health",
        "X-HTTP-Method-Override": "OPTIONS",
        "X-Forwarded-For": "127.0.0.1",
    }
    answer = httpx.get(f"{deployment.server.url}/agent/jobs", headers=platform)
    assert code_of(answer) == (401, "AuthenticationFailed")
    # Nor do they add a role to one who has another.
    reader = deployment.entra.token("Reader")
    answer = httpx.put(
        f"{deployment.server.url}/agent/jobs/j", headers=platform | {"Authorization": f"Bearer {reader}"}, json={}
    )
    assert code_of(answer) == (403, "AuthorizationFailed")


@pytest.mark.parametrize("roles", [[], None, "Contributor", ["contributor"], ["Owner"], {"Contributor": True}, [7]])
def test_without_a_role_nothing_opens(deployment: Deployment, roles: object) -> None:
    token = deployment.entra.token(roles=roles)
    for path in ("/agent/jobs", "/openapi.json", "/nowhere", "/tenants"):
        answer = deployment.get(token, path)
        assert code_of(answer) == (403, "AuthorizationFailed")
        message = answer.json()["error"]["message"]
        assert NAME in message
        assert all(role in message for role in ("Reader", "Operator", "Contributor", "CredentialAdmin"))


def test_a_missing_role_is_named(deployment: Deployment) -> None:
    reader = {"Authorization": f"Bearer {deployment.entra.token('Reader')}"}
    answer = deployment.server.http.post("/agent/jobs/j/start", headers=reader)
    assert code_of(answer) == (403, "AuthorizationFailed")
    assert answer.json()["error"]["message"] == f"The caller '{NAME}' needs the role Operator for this."


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({}, NAME),
        ({"upn": "bob@contoso.com"}, f"bob@contoso.com (user {OBJECT_ID}, client {APP_ID})"),
        ({"upn": "x" * 500}, NAME),
        (
            {"preferred_username": f"eve (user {OTHER}, client {OTHER})"},
            f"{OBJECT_ID} (user {OBJECT_ID}, client {APP_ID})",
        ),
        ({"preferred_username": "a\r\nb@c.d"}, f"{OBJECT_ID} (user {OBJECT_ID}, client {APP_ID})"),
        ({"preferred_username": 7}, f"{OBJECT_ID} (user {OBJECT_ID}, client {APP_ID})"),
        (
            {"scp": None, "preferred_username": "mallory@contoso.com"},
            f"{APP_ID} (application {OBJECT_ID}, client {APP_ID})",
        ),
        ({"oid": OBJECT_ID.upper()}, NAME),
    ],
)
def test_who_the_audit_trail_names(deployment: Deployment, claims: dict[str, Any], name: str) -> None:
    answer = deployment.get(deployment.entra.token(**claims))
    assert f"The caller '{name}' has no role" in answer.json()["error"]["message"]
    kind = "Application" if claims.get("scp", "") is None else "User"
    assert described(name) == (name.split(" ")[0], kind)


def test_system_data_tells_people_from_applications(tmp_path: Path) -> None:
    with running_entra() as entra, running(tmp_path, **_settings(entra)) as server:

        def put(token: str) -> dict[str, Any]:
            body = {"name": "agent1", "location": "westeurope"}
            answer = server.http.put("/agent", json=body, headers={"Authorization": f"Bearer {token}"})
            assert answer.is_success, answer.text
            found: dict[str, Any] = answer.json()["systemData"]
            return {name: value for name, value in found.items() if not name.endswith("At")}

        alice = {"createdBy": "alice@contoso.com", "createdByType": "User"}
        first = put(entra.token("Contributor"))
        assert first == alice | {"lastModifiedBy": "alice@contoso.com", "lastModifiedByType": "User"}
        second = put(entra.token("Contributor", scp=None, preferred_username=None, idtyp="app"))
        assert second == alice | {"lastModifiedBy": APP_ID, "lastModifiedByType": "Application"}


def test_names_of_local_callers_are_users() -> None:
    assert described("alice") == ("alice", "User")
    assert described(f"eve (application {OTHER})") == (f"eve (application {OTHER})", "User")


def test_an_outage_at_the_start_is_503(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_entra() as entra, running(tmp_path, **_settings(entra)) as server:
        entra.status = 500
        deployment = Deployment(entra, server)
        with caplog.at_level(logging.WARNING):
            answer = deployment.get(entra.token("Reader"))
        assert code_of(answer) == (503, "ServiceUnavailable")
        assert answer.headers["Retry-After"] == "5"
        assert "500" in caplog.text
        assert "HTTP" not in answer.text
        assert entra.authority not in answer.text
        assert server.http.get("/health").status_code == 200


def test_keys_are_rolled_while_the_app_runs(tmp_path: Path) -> None:
    clock = [1000.0]
    with running_entra() as entra:
        authenticator = EntraAuthenticator.from_settings(
            support.settings(**_settings(entra)), monotonic=lambda: clock[0]
        )

        async def authenticate(token: str) -> str:
            return (await authenticator.authenticate(token)).id

        assert asyncio.run(authenticate(entra.token("Reader"))) == OBJECT_ID
        entra.keys = [jwk("k2")]
        clock[0] += 30
        assert asyncio.run(authenticate(entra.token("Reader", kid="k2"))) == OBJECT_ID


class _Credential:
    """What azure-identity would be: asked for a scope, it gets a token of Entra for the audience in it."""

    def __init__(self, entra: Entra, *roles: str) -> None:
        self._entra, self._roles, self.scopes = entra, roles, list[str]()

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        del kwargs
        self.scopes += scopes
        audience = scopes[0].removesuffix("/.default")
        return AccessToken(self._entra.token(*self._roles, aud=audience), int(time.time()) + 3600)


def test_the_stock_sdk_pointed_at_the_deployment_by_its_scope(deployment: Deployment) -> None:
    credential = _Credential(deployment.entra, "Reader")
    scope = f"{AUDIENCE}/.default"
    with SqlManagementClient(
        credential, support.SUBSCRIPTION, base_url=deployment.server.url, credential_scopes=[scope], retry_total=0
    ) as client:
        # enforce_https: the SDK hands tokens to https only; the deployment of this test speaks http on loopback.
        assert list(client.job_agents.list_by_server("group", "server", enforce_https=False)) == []
        with pytest.raises(HttpResponseError) as refused:
            client.job_executions.cancel("group", "server", "agent1", "job1", str(uuid4()), enforce_https=False)
    assert refused.value.status_code == 403
    assert credential.scopes == [scope]


def test_the_stock_sdk_without_a_scope_brings_a_token_for_azure_and_is_refused(deployment: Deployment) -> None:
    credential = _Credential(deployment.entra, "Reader")
    with (
        SqlManagementClient(credential, support.SUBSCRIPTION, base_url=deployment.server.url, retry_total=0) as client,
        pytest.raises(ClientAuthenticationError),
    ):
        list(client.job_agents.list_by_server("group", "server", enforce_https=False))
    assert credential.scopes[0] == "https://management.azure.com/.default"


def test_no_token_is_in_the_log_or_in_an_answer(deployment: Deployment, caplog: pytest.LogCaptureFixture) -> None:
    forged = jwt.encode(deployment.entra.claims("Reader"), key("evil"), "RS256", headers={"kid": "k1"})
    late = deployment.entra.token("Reader", exp=1)
    elsewhere = deployment.entra.token("Reader", aud=f"api://{OTHER}")
    with caplog.at_level(logging.DEBUG):
        answers = [deployment.get(token).text for token in (forged, late, elsewhere)]
    assert "A bearer token was refused" in caplog.text
    for token in (forged, late, elsewhere):
        for part in token.split(".")[1:]:
            assert part not in caplog.text
            assert all(part not in answer for answer in answers)
