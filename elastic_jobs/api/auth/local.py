"""AUTH_MODE=local: tokens signed with the deployment's own key (HS256), for one machine and for tests."""

from __future__ import annotations

from typing import Any

import jwt

from elastic_jobs.api.auth.callers import Caller, expired_token, invalid_token, roles_of
from elastic_jobs.errors import SettingsError

LOCAL_AUDIENCE = "elastic-jobs"
_ALGORITHMS = ("HS256",)  # a constant: the token's own header does not choose
_LONGEST_SUBJECT = 256


class LocalAuthenticator:
    """Takes tokens with ``sub``, ``roles``, ``exp`` and the audience ``elastic-jobs``."""

    def __init__(self, key: str) -> None:
        if len(key) < 32:
            raise SettingsError("LOCAL_AUTH_KEY must have at least 32 characters when AUTH_MODE is local.")
        self._key = key

    async def authenticate(self, token: str) -> Caller:
        """See ``Authenticator``."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=_ALGORITHMS,
                audience=LOCAL_AUDIENCE,
                options={"require": ["exp", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise expired_token() from None
        except jwt.PyJWTError:
            raise invalid_token() from None
        subject = _subject(claims)
        return Caller(id=subject, name=subject, roles=roles_of(claims))

    async def authenticate_visitor(self, token: str) -> Caller:
        """See ``Authenticator``; there is one kind of token."""
        return await self.authenticate(token)


def _subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.strip():
        raise invalid_token("The bearer token names no subject.")
    # It is written into the audit trail and the log as it stands.
    if len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
        raise invalid_token(f"The subject of the bearer token must be up to {_LONGEST_SUBJECT} printable characters.")
    return subject
