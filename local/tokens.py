"""Bearer tokens of local mode, signed with the key that the app verifies them with."""

from __future__ import annotations

import time

import jwt

ALL_ROLES = ("Reader", "Operator", "Contributor", "CredentialAdmin")
AUDIENCE = "elastic-jobs"
LIFETIME_SECONDS = 30 * 24 * 3600


def sign(key: str, subject: str, roles: tuple[str, ...], *, lifetime_seconds: int = LIFETIME_SECONDS) -> str:
    """A token for ``subject`` with these roles, valid from now."""
    now = int(time.time())
    claims = {"sub": subject, "aud": AUDIENCE, "roles": list(roles), "iat": now, "exp": now + lifetime_seconds}
    return jwt.encode(claims, key, algorithm="HS256")
