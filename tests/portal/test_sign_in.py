"""Who may see pages: the cookie of local mode, the ID token of Easy Auth, and everything that is neither."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from tests.api import support
from tests.api.entra import AUDIENCE, CLIENT_ID, OBJECT_ID, TENANT, Entra, running_entra
from tests.api.support import PLAIN_HTTP, Server, running, token
from tests.portal.support import SESSION_COOKIE, PortalClient, text_of

ID_TOKEN = "x-ms-token-aad-id-token"


@pytest.fixture
def stranger(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, verify=PLAIN_HTTP, timeout=30)


def csrf_of(answer: httpx.Response) -> str:
    return answer.text.split('name="csrf_token" value="')[1][:64]


def sign_in(http: httpx.Client, given: str, page: str = "/portal/jobs") -> httpx.Response:
    form = http.get("/portal/sign-in", params={"page": page})
    fields = {"token": given, "page": page, "csrf_token": csrf_of(form)}
    return http.post("/portal/sign-in", data=fields, headers={"Origin": str(http.base_url)})


def test_the_root_sends_browsers_to_the_portal_and_nobody_else(stranger: httpx.Client) -> None:
    browser = stranger.get("/", headers={"Accept": "text/html,*/*"})
    assert (browser.status_code, browser.headers["location"]) == (302, "/portal")
    program = stranger.get("/")
    assert program.status_code == 401
    assert program.json()["error"]["code"] == "AuthenticationFailed"


def test_without_a_token_one_is_sent_to_sign_in_and_back(stranger: httpx.Client) -> None:
    answer = stranger.get("/portal/executions?state=failed&job=a%26b")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/portal/sign-in?page=%2Fportal%2Fexecutions%3Fstate%3Dfailed%26job%3Da%2526b"
    signed_in = sign_in(stranger, token("Reader"), "/portal/executions?state=failed")
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/portal/executions?state=failed")
    assert stranger.get("/portal").status_code == 200


def test_the_cookies_are_kept_from_scripts_and_other_sites(stranger: httpx.Client) -> None:
    first = stranger.get("/portal/sign-in")
    answer = sign_in(stranger, token("Reader"))
    for given in (first.headers["set-cookie"], answer.headers["set-cookie"]):
        (morsel,) = SimpleCookie(given).values()
        assert morsel["httponly"] is True
        assert morsel["samesite"].lower() == "strict"
        assert morsel["path"] == "/portal"
        assert not morsel["secure"], "plain http on one machine"
        assert not morsel["domain"]
    https = stranger.get("/portal/sign-in", headers={"X-Forwarded-Proto": "https", "Cookie": ""})
    (morsel,) = SimpleCookie(https.headers["set-cookie"]).values()
    assert morsel["secure"] is True


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nonsense", "not a token that is taken"),
        ("", "not a token that is taken"),
        (token("Reader", key="z" * 64), "not a token that is taken"),
        (token("Reader", exp=1), "has expired"),
    ],
)
def test_a_token_that_is_not_taken_opens_nothing(stranger: httpx.Client, given: str, said: str) -> None:
    answer = sign_in(stranger, given)
    assert answer.status_code == 401
    assert said in text_of(answer)
    assert SESSION_COOKIE not in stranger.cookies
    if given:
        assert given not in answer.text
    assert stranger.get("/portal").status_code == 302


@pytest.mark.parametrize(
    "page",
    [
        "https://evil.example/portal",
        "//evil.example/portal",
        "/\\evil.example",
        "/portal\\..\\..",
        "/portalevil",
        "/agent",
        "javascript:alert(1)",
        "/portal/\r\nSet-Cookie: a=b",
        "/portal/" + "x" * 3000,
    ],
)
def test_signing_in_leads_nowhere_else(stranger: httpx.Client, page: str) -> None:
    answer = sign_in(stranger, token("Reader"), page)
    assert (answer.status_code, answer.headers["location"]) == (303, "/portal")


def test_signing_out_forgets_the_token(server: Server) -> None:
    portal = PortalClient(server)
    del portal.http.cookies[SESSION_COOKIE]
    sign_in(portal.http, token("Reader"))
    assert portal.get("/portal").status_code == 200
    answer = portal.post("/portal/sign-out")
    assert answer.headers["location"] == "/portal/sign-in"
    assert portal.get("/portal", 302).headers["location"].startswith("/portal/sign-in")


def test_somebody_without_a_role_is_told_which_there_are(server: Server) -> None:
    said = text_of(PortalClient(server, roles=()).get("/portal/executions", 403))
    assert "You have no role here" in said
    for role in ("Reader", "Operator", "Contributor", "CredentialAdmin"):
        assert role in said


def test_a_part_of_a_page_sends_the_whole_page_to_sign_in(stranger: httpx.Client) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "https://evil.example/portal/executions?state=failed"}
    answer = stranger.get("/portal/live", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/portal/sign-in?page=%2Fportal%2Fexecutions%3Fstate%3Dfailed"


@dataclass
class Deployment:
    """The app behind Easy Auth, and the Entra that signs its tokens."""

    entra: Entra
    server: Server

    def get(self, path: str = "/portal", **headers: str) -> httpx.Response:
        return httpx.get(f"{self.server.url}{path}", headers=headers, verify=PLAIN_HTTP)

    def id_token(self, *roles: str, **changed: Any) -> str:
        """As Entra issues it at a sign-in: for the registration itself, without client and scopes."""
        return self.entra.token(*roles, **{"azp": None, "scp": None, "aud": CLIENT_ID, **changed})


@pytest.fixture(scope="module")
def easy_auth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with running_entra() as entra:
        changed = {
            "AUTH_MODE": "entra",
            "LOCAL_AUTH_KEY": support.KEY,
            "ENTRA_TENANT_ID": TENANT,
            "ENTRA_AUDIENCE": f"{CLIENT_ID},{AUDIENCE}",
            "ENTRA_AUTHORITY": entra.authority,
        }
        with running(tmp_path_factory.mktemp("easy-auth"), **changed) as server:
            yield Deployment(entra, server)


def test_the_id_token_of_easy_auth_is_validated_and_signs_in(easy_auth: Deployment) -> None:
    answer = easy_auth.get(**{ID_TOKEN: easy_auth.id_token("Reader")})
    assert answer.status_code == 200, answer.text
    assert "alice@contoso.com" in answer.text
    bearer = easy_auth.get(authorization=f"Bearer {easy_auth.entra.token('Reader')}")
    assert bearer.status_code == 200


def test_the_api_still_takes_no_id_token(easy_auth: Deployment) -> None:
    assert easy_auth.get("/agent", authorization=f"Bearer {easy_auth.id_token('Reader')}").status_code == 401
    assert easy_auth.get("/agent", **{ID_TOKEN: easy_auth.id_token("Reader")}).status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "abababab-0000-0000-0000-000000000000"},
        {"tid": "00000000-0000-0000-0000-000000000001"},
        {"iss": "https://login.microsoftonline.com/other/v2.0"},
        {"exp": 1},
        {"oid": None},
        {"aud": AUDIENCE},  # an ID token is for the client id; this is an access token that lost its client
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_a_wrong_id_token_leads_to_the_sign_in(easy_auth: Deployment, wrong: dict[str, Any]) -> None:
    answer = easy_auth.get("/portal/jobs?x=1", **{ID_TOKEN: easy_auth.id_token("Reader", **wrong)})
    assert answer.status_code == 302
    assert answer.headers["location"] == "/.auth/login/aad?post_login_redirect_uri=%2Fportal%2Fjobs%3Fx%3D1"


def test_headers_that_only_speak_of_somebody_are_not_believed(easy_auth: Deployment) -> None:
    said = {
        "x-ms-client-principal": "eyJ1c2VyX2lkIjoiYWxpY2UifQ==",
        "x-ms-client-principal-id": OBJECT_ID,
        "x-ms-client-principal-name": "alice@contoso.com",
        "x-ms-client-principal-idp": "aad",
        "x-forwarded-user": "alice",
    }
    assert easy_auth.get(**said).headers["location"].startswith("/.auth/login/aad?")
    cookie = f"{SESSION_COOKIE}={easy_auth.id_token('Reader')}"
    assert easy_auth.get(cookie=cookie).status_code == 302, "the cookie is local mode's"
    assert easy_auth.get("/portal/sign-in").status_code == 404


def test_a_sign_in_that_brings_no_good_token_does_not_go_round_for_ever(easy_auth: Deployment) -> None:
    with httpx.Client(base_url=easy_auth.server.url, verify=PLAIN_HTTP) as browser:
        headers = {ID_TOKEN: easy_auth.id_token("Reader", exp=1)}
        answers = [browser.get("/portal", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [302, 302, 401]
    assert "The sign-in did not work" in text_of(answers[2])


def test_signing_out_ends_the_session_of_easy_auth(easy_auth: Deployment) -> None:
    headers = {ID_TOKEN: easy_auth.id_token()}
    with httpx.Client(base_url=easy_auth.server.url, verify=PLAIN_HTTP, headers=headers) as browser:
        page = browser.get("/portal")
        assert page.status_code == 403
        answer = browser.post(
            "/portal/sign-out",
            data={"csrf_token": csrf_of(page)},
            headers={"Origin": easy_auth.server.url},
        )
    assert (answer.status_code, answer.headers["location"]) == (303, "/.auth/logout")


def test_entra_that_does_not_answer_is_told(easy_auth: Deployment) -> None:
    easy_auth.entra.status = 500
    try:
        answer = easy_auth.get(
            **{ID_TOKEN: easy_auth.entra.token("Reader", azp=None, kid="k1", headers={"kid": "new"})}
        )
    finally:
        easy_auth.entra.status = 200
    # The keys at hand do not know this one, and whether a fetch failed or may not be made yet, nobody is let in.
    assert answer.status_code in {302, 503}
    assert "alice" not in answer.text
