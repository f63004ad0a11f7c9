"""Who calls: roles, the caller, and the refusals that every way of authentication shares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from elastic_jobs.api.errors import ApiError

_CHALLENGE = 'Bearer realm="elastic-jobs"'
LONGEST_TOKEN = 32 * 1024
"""Characters. Entra's largest tokens, with 200 groups in them, have about 14,000."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Role(StrEnum):
    """What a caller may do. Each role includes reading; otherwise none includes another."""

    READER = "Reader"
    OPERATOR = "Operator"
    """Start and cancel executions."""
    CONTRIBUTOR = "Contributor"
    """Change the agent, target groups, jobs and steps; read the audit trail."""
    CREDENTIAL_ADMIN = "CredentialAdmin"
    """Change credentials."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An authenticated caller.

    id: the same for all of a caller's requests and for nobody else's; rate limits count by it.
    name: what the audit trail says.
    """

    id: str
    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        return bool(self.roles) if role is Role.READER else role in self.roles


_NAME = re.compile(r"(?P<who>\S+) \((?P<kind>user|application) [0-9a-f-]{36}, client [0-9a-f-]{36}\)")


def caller_name(who: str, *, is_application: bool, object_id: str, client_id: str) -> str:
    """The name of a caller of Entra: the object id, which never changes hands, behind a name that people know.

    who: user name, or the client id of an application; without spaces.
    """
    return f"{who} ({'application' if is_application else 'user'} {object_id}, client {client_id})"


def described(name: str) -> tuple[str, str]:
    """What ``systemData`` says of a caller's name: ``createdBy`` and ``createdByType`` (User or Application)."""
    found = _NAME.fullmatch(name)
    return (found["who"], found["kind"].capitalize()) if found else (name, "User")


class Authenticator(Protocol):
    """One way of telling who calls."""

    async def authenticate(self, token: str) -> Caller:
        """The caller that a bearer token names. Never blocks the event loop.

        Raises:
            ApiError: 401, the token is not one that this deployment takes; 503, nobody can tell at the moment.
        """
        ...

    async def authenticate_visitor(self, token: str) -> Caller:
        """As ``authenticate``, for the pages of the portal, to which the token of a sign-in is good enough.

        Raises:
            ApiError: as there.
        """
        ...


def roles_of(claims: dict[str, Any]) -> frozenset[Role]:
    """The roles in a token's ``roles`` claim; those that nobody knows are left out."""
    named = claims.get("roles")
    known = {str(role): role for role in Role}
    if not isinstance(named, list):
        return frozenset()
    return frozenset(known[name] for name in named if isinstance(name, str) and name in known)


def unauthorized(code: str, message: str) -> ApiError:
    """401, with the challenge that says which kind of token is wanted."""
    challenge = _CHALLENGE if code == "AuthenticationFailed" else f'{_CHALLENGE}, error="invalid_token"'
    return ApiError(401, code, message, {"WWW-Authenticate": challenge})


def invalid_token(message: str = "The bearer token is not one that this deployment takes.") -> ApiError:
    """401 for a token that is wrong in itself. What exactly is wrong goes to the log, not to the caller."""
    return unauthorized("InvalidAuthenticationToken", message)


def expired_token() -> ApiError:
    """401 for a token that was right once."""
    return unauthorized("ExpiredAuthenticationToken", "The bearer token has expired; get a new one.")


def bearer_token(authorization: Sequence[str]) -> str:
    """The token of the ``Authorization`` headers of a request, which must be one and hold a bearer token.

    Raises:
        ApiError: 401, there is none, or it cannot be a signed token.
    """
    if len(authorization) > 1:
        raise unauthorized("AuthenticationFailed", "Authentication failed. Send one 'Authorization' header, not more.")
    scheme, _, token = (authorization[0] if authorization else "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise unauthorized(
            "AuthenticationFailed", "Authentication failed. The 'Authorization' header must hold a bearer token."
        )
    if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise invalid_token()
    return token
