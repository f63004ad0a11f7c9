"""Nobody but a page of this portal can make a browser change something.

Two independent proofs for every request that may change something. It must come from the same origin, which the
browser says and no page can forge (``Sec-Fetch-Site``, or ``Origin`` where the browser does not send that). And it
must carry a token that only a page of this session knows: an HMAC over the caller, keyed with a random cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from starlette.datastructures import Headers
from starlette.requests import Request

from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.urls import public_base

COOKIE = "elastic_jobs_portal"
"""Holds the session's random key; HttpOnly, for the portal's paths only."""
FIELD = "csrf_token"
HEADER = "x-csrf-token"
READING = frozenset({"GET", "HEAD"})
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
_REFUSED = "This request did not come from a page of this portal that is still valid. Open the page anew and try again."


def new_key() -> str:
    """A key for a new session: 256 random bits."""
    return secrets.token_urlsafe(32)


def key_of(cookies: dict[str, str]) -> str | None:
    """The key in the session's cookie, when there is one that can be ours."""
    key = cookies.get(COOKIE, "")
    return key if _KEY.fullmatch(key) else None


def token_for(key: str, caller_id: str) -> str:
    """The token that the forms of a caller's pages carry. ``caller_id``: empty before anybody signed in."""
    return hmac.new(key.encode(), b"portal form\0" + caller_id.encode(), hashlib.sha256).hexdigest()


def check_origin(request: Request) -> None:
    """Refuse a request that another site made.

    Raises:
        ApiError: 403; also when the request does not tell where it comes from.
    """
    headers: Headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        allowed = site == "same-origin"
    else:
        allowed = headers.get("origin", "").lower() == public_base(request).lower()
    if not allowed:
        raise ApiError(403, "CrossOriginRequest", _REFUSED)


def check_token(given: str, key: str | None, caller_id: str) -> None:
    """Refuse a request without the token of this session.

    Raises:
        ApiError: 403.
    """
    if key is None or not hmac.compare_digest(given.encode(), token_for(key, caller_id).encode()):
        raise ApiError(403, "FormTokenRefused", _REFUSED)
