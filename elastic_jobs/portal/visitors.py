"""Who looks at a page: the same tokens and roles as the API's, found where a browser can carry them.

AUTH_MODE=entra: Easy Auth signs people in and passes their ID token on in a header; another proxy may pass a token as
``Authorization``. Either is validated here as the API validates its own; what else a proxy says of people
(``X-MS-CLIENT-PRINCIPAL`` and the like) is never believed. AUTH_MODE=local: a cookie that holds the local token.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.types import Scope

from elastic_jobs.api.auth import Authenticator, Caller, bearer_token
from elastic_jobs.api.paths import PORTAL_PREFIX as PREFIX

SESSION_COOKIE = "elastic_jobs_session"
"""Local mode: holds the bearer token."""
ID_TOKEN_HEADER = "x-ms-token-aad-id-token"  # noqa: S105  # the name of a header
SIGN_IN_PATH = f"{PREFIX}/sign-in"


class Visitors:
    """Finds the caller of a request for a page.

    local: a cookie may hold the token; otherwise only what a proxy passes on counts.
    """

    def __init__(self, authenticator: Authenticator, *, local: bool) -> None:
        self._authenticator, self.local = authenticator, local

    def owns(self, scope: Scope) -> bool:
        """Whether a request is for a page: below /portal, or a browser's for the root."""
        path: str = scope["path"]
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return True
        accepted = Headers(scope=scope).get("accept", "")
        return path == "/" and scope["method"] in {"GET", "HEAD"} and "text/html" in accepted

    async def caller(self, headers: Headers) -> Caller:
        """The caller, by the token that came with the request.

        Raises:
            ApiError: 401, there is no token or not one that is taken; 503, nobody can tell at the moment.
        """
        return await self.check(bearer_token(self._authorization(headers)))

    async def check(self, token: str) -> Caller:
        """The caller that a token names, which somebody signs in with.

        Raises:
            ApiError: as ``caller``.
        """
        return await self._authenticator.authenticate_visitor(token)

    def _authorization(self, headers: Headers) -> list[str]:
        given = headers.getlist("authorization")
        if given:
            return given
        if self.local:
            token = cookies_of(headers).get(SESSION_COOKIE, "")
            return [f"Bearer {token}"] if token else []
        return [f"Bearer {token}" for token in headers.getlist(ID_TOKEN_HEADER)]


def cookies_of(headers: Headers) -> dict[str, str]:
    """The cookies of a request; those that cannot be read are left out."""
    found: dict[str, str] = {}
    for header in headers.getlist("cookie"):
        for part in header.split(";"):
            try:
                found.update({name: morsel.value for name, morsel in SimpleCookie(part.strip()).items()})
            except CookieError:
                continue
    return found
