"""Who calls, and what the caller may do. Every path is closed unless it says which role opens it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import jwt
from starlette.requests import Request

from elastic_jobs.api.errors import ApiError
from elastic_jobs.errors import SettingsError
from elastic_jobs.settings import Settings

LOCAL_AUDIENCE = "elastic-jobs"
_LOCAL_ALGORITHMS = ("HS256",)  # a constant: the token's own header does not choose
_CHALLENGE = 'Bearer realm="elastic-jobs"'


class Role(StrEnum):
    """What a caller may do. Each role includes reading; otherwise none includes another."""

    READER = "Reader"
    OPERATOR = "Operator"
    """Start and cancel executions."""
    CONTRIBUTOR = "Contributor"
    """Change the agent, target groups, jobs and steps."""
    CREDENTIAL_ADMIN = "CredentialAdmin"
    """Change credentials."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An authenticated caller. ``name`` is what the audit trail says."""

    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        return bool(self.roles) if role is Role.READER else role in self.roles


class Authenticator(Protocol):
    def authenticate(self, token: str) -> Caller:
        """The caller that a bearer token names.

        Raises:
            ApiError: 401, the token is not one that this deployment takes.
        """
        ...


class LocalAuthenticator:
    """AUTH_MODE=local: tokens signed with the deployment's own key (HS256), for one machine and for tests."""

    def __init__(self, key: str) -> None:
        if len(key) < 32:
            raise SettingsError("LOCAL_AUTH_KEY must have at least 32 characters when AUTH_MODE is local.")
        self._key = key

    def authenticate(self, token: str) -> Caller:
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=_LOCAL_ALGORITHMS,
                audience=LOCAL_AUDIENCE,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise unauthorized("ExpiredAuthenticationToken", "The bearer token has expired; get a new one.") from None
        except jwt.PyJWTError:
            raise unauthorized(
                "InvalidAuthenticationToken", "The bearer token is not one that this deployment takes."
            ) from None
        return Caller(name=_subject(claims), roles=roles_of(claims))


def authenticator_for(settings: Settings) -> Authenticator:
    """The way of authentication that the settings name.

    Raises:
        SettingsError: they name none that is known; the API does not start open.
    """
    if settings.auth_mode == "local":
        return LocalAuthenticator(settings.local_auth_key)
    raise SettingsError(f"AUTH_MODE is '{settings.auth_mode}', which this version does not know.")


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


def bearer_token(authorization: str | None) -> str:
    """The token of an ``Authorization`` header.

    Raises:
        ApiError: 401, there is none.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorized(
            "AuthenticationFailed", "Authentication failed. The 'Authorization' header must hold a bearer token."
        )
    return token.strip()


def caller_of(request: Request) -> Caller:
    """The caller whom the middleware authenticated.

    Raises:
        ApiError: 401, it did not.
    """
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise unauthorized("AuthenticationFailed", "Authentication failed.")
    return caller


def require(role: Role, *, denied_code: str = "AuthorizationFailed") -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets only callers with this role pass; 403 names the role that is missing."""

    async def check(request: Request) -> None:
        caller = caller_of(request)
        if not caller.may(role):
            raise ApiError(403, denied_code, f"The caller '{caller.name}' needs the role {role} for this.")

    check.required_role = role  # type: ignore[attr-defined]  # for the test that no route is left open
    return check


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip():
        raise unauthorized("InvalidAuthenticationToken", "The bearer token names no subject.")
    return subject
