"""Pages over real HTTP: a client that does what a browser does (cookies, CSRF token, Origin), and helpers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from html import unescape

import httpx
import pytest

from local.chromium import MISSING, find
from tests.api.support import ALL_ROLES, PLAIN_HTTP, Server, token

SESSION_COOKIE = "elastic_jobs_session"


def chromium() -> str:
    """Where the system's Chromium is. Without one, a test that needs it is skipped; under CI it fails."""
    found = find()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return found


@dataclass
class PortalClient:
    """Somebody who is signed in to the portal in local mode."""

    server: Server
    roles: tuple[str, ...] = ALL_ROLES
    name: str = "alice"
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.server.url, verify=PLAIN_HTTP, timeout=30)
        self.http.cookies.set(SESSION_COOKIE, token(*self.roles, sub=self.name), path="/portal")

    def as_(self, *roles: str, name: str = "bob") -> PortalClient:
        """Another one with these roles only."""
        return PortalClient(self.server, roles, name)

    def get(self, path: str, expected: int = 200, /, **params: str) -> httpx.Response:
        answer = self.http.get(path, params=params or None)
        assert answer.status_code == expected, f"{answer.status_code} {text_of(answer)}"
        return answer

    def csrf(self) -> str:
        """The token that forms of this session carry."""
        found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', self.get("/portal").text)
        assert found is not None
        return found[1]

    def post(self, path: str, expected: int = 303, /, **fields: str | list[str]) -> httpx.Response:
        """Send a form of a page, as a browser on it does."""
        content = {"csrf_token": self.csrf(), **fields}
        answer = self.http.post(path, data=content, headers={"Origin": self.server.url})
        assert answer.status_code == expected, f"{answer.status_code} {text_of(answer)}"
        return answer

    def done(self, path: str, /, **fields: str | list[str]) -> str:
        """Send a form and see the page that it leads to, as text."""
        answer = self.post(path, 303, **fields)
        return text_of(self.get(answer.headers["location"]))


def text_of(answer: httpx.Response) -> str:
    """What a page says, without tags, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())
