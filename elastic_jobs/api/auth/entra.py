"""AUTH_MODE=entra: access tokens that Microsoft Entra ID issued for this deployment, validated here in code.

What is checked: the signature (RS256 only) by a key of the tenant, the issuer, the audience, the tenant, the times, and
that it is an access token and no ID token. What the caller may do is in ``roles``: app roles of the deployment's app
registration, given to users, groups or applications. Headers that a proxy or the platform adds are never believed.
"""

from __future__ import annotations

import base64
import logging
import math
import re
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from elastic_jobs.api.auth.callers import Caller, caller_name, expired_token, invalid_token, roles_of
from elastic_jobs.api.auth.keys import KeyRing
from elastic_jobs.api.auth.openid import KeysUnavailableError, Tenant, load_keys
from elastic_jobs.api.errors import ApiError
from elastic_jobs.errors import SettingsError
from elastic_jobs.settings import Settings

_log = logging.getLogger(__name__)

_ALGORITHMS = ("RS256",)  # a constant: the token's own header does not choose
LEEWAY_SECONDS = 60
"""By how much the clocks of Entra and of this instance may differ."""
_REQUIRED = ("exp", "nbf", "iat", "iss", "aud", "tid", "oid")
_LONGEST_KEY_ID = 256
_LONGEST_HEADER = 4096
"""Characters. Entra's headers have about 150."""
_USER_NAME = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,63}")


class EntraAuthenticator:
    """Takes the access tokens of one tenant for some audiences.

    audiences: what ``aud`` may be: the app registration's client id, or its application id URI.
    """

    def __init__(self, tenant: Tenant, audiences: tuple[str, ...], keys: KeyRing) -> None:
        self._tenant, self._audiences, self._keys = tenant, audiences, keys

    @classmethod
    def from_settings(
        cls, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> EntraAuthenticator:
        """Nothing is fetched yet.

        Raises:
            SettingsError: the tenant or the audience is not set.
        """
        if settings.entra_tenant_id is None or not settings.entra_audience:
            raise SettingsError("AUTH_MODE entra needs ENTRA_TENANT_ID and ENTRA_AUDIENCE.")
        tenant = Tenant(authority=settings.entra_authority, tenant_id=str(settings.entra_tenant_id))
        keys = KeyRing(lambda: load_keys(tenant), monotonic=monotonic)
        return cls(tenant, settings.entra_audience, keys)

    async def authenticate(self, token: str) -> Caller:
        """See ``Authenticator``. ID tokens are refused."""
        return self._caller(await self._claims(token))

    async def authenticate_visitor(self, token: str) -> Caller:
        """See ``Authenticator``. Takes the ID token of a sign-in to this deployment's app registration as well."""
        return self._caller(await self._claims(token), id_token=True)

    async def _claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that is signed by the tenant, for this deployment, and valid now.

        Raises:
            ApiError: 401 or 503.
        """
        key_id = _key_id(token)
        try:
            key = await self._keys.find(key_id)
        except KeysUnavailableError:
            raise ApiError(
                503,
                "ServiceUnavailable",
                "Tokens cannot be checked at the moment, because the keys of the tenant cannot be fetched. Try again.",
                {"Retry-After": str(math.ceil(self._keys.retry_seconds))},
            ) from None
        if key is None:
            raise _refused("its key is none of the tenant's")
        _check_signature(token, key)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audiences,
                issuer=self._tenant.issuers,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError:
            raise expired_token() from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise _refused(f"{type(error).__name__}: {error}") from None
        return claims

    def _caller(self, claims: dict[str, Any], *, id_token: bool = False) -> Caller:
        if str(claims["tid"]).lower() != self._tenant.tenant_id:
            raise _refused("it is of another tenant")
        oid, client = _guid(claims["oid"]), _guid(claims.get("azp") or claims.get("appid"))
        if oid is None:
            raise _refused("its oid is no GUID")
        if client is None and id_token:
            # An ID token is for the application that people sign in to, and is issued to that application only.
            client = _guid(claims["aud"])
            if client is not None:
                return Caller(id=oid, name=_name(claims, oid, client, signed_in=True), roles=roles_of(claims))
        if client is None:
            # Every access token tells for which client it was issued; an ID token for the same audience does not.
            raise _refused("it is no access token")
        return Caller(id=oid, name=_name(claims, oid, client), roles=roles_of(claims))


def _key_id(token: str) -> str:
    """The key that the token claims to be signed with. Nothing else of its header is used."""
    segment = token.partition(".")[0]
    if len(segment) > _LONGEST_HEADER:
        raise _refused("its header is too long")
    try:
        header = jwt.get_unverified_header(f"{segment}..")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise invalid_token() from None
    if header.get("alg") not in _ALGORITHMS:
        raise _refused("its algorithm is not allowed")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= _LONGEST_KEY_ID:
        raise _refused("it names no key")
    return key_id


def _check_signature(token: str, key: RSAPublicKey) -> None:
    """Refuse a forged token cheaply. The library checks all of it again, but looks at each character of it before it
    comes to the signature: for a long forgery a hundred times the work of this.

    Raises:
        ApiError: 401.
    """
    signed, _, signature = token.rpartition(".")
    try:
        key.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode("ascii"), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise _refused("its signature is wrong") from None


def _name(claims: dict[str, Any], oid: str, client: str, *, signed_in: bool = False) -> str:
    """What the audit trail says. A user's name may be chosen by its bearer: only what looks like one is taken."""
    # Every delegated token has scopes, no application's own token has any; only people sign in.
    is_application = not signed_in and not claims.get("scp")
    named = client if is_application else oid
    for claim in () if is_application else ("upn", "preferred_username", "unique_name"):
        value = claims.get(claim)
        if isinstance(value, str) and _USER_NAME.fullmatch(value):
            named = value
            break
    return caller_name(named, is_application=is_application, object_id=oid, client_id=client)


def _guid(value: object) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _refused(reason: str) -> ApiError:
    # Of the token itself nothing is logged, and the caller does not learn which check failed.
    _log.info("A bearer token was refused: %s.", reason)
    return invalid_token()
