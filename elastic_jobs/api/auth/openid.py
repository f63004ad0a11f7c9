"""The signing keys of an Entra tenant, as its OpenID metadata names them. Blocking; called from a thread of its own."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LARGEST_DOCUMENT = 1024 * 1024
DEADLINE_SECONDS = 10.0
_SMALLEST_KEY = 2048
"""Bits; NIST SP 800-131A."""
_MOST_KEYS = 200


class KeysUnavailableError(Exception):
    """The tenant's keys cannot be had. The text is for the log."""


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A tenant of Entra as an issuer of tokens.

    authority: such as ``https://login.microsoftonline.com``, without a slash at the end.
    tenant_id: a GUID in lower case.
    """

    authority: str
    tenant_id: str

    @property
    def issuer(self) -> str:
        """The issuer of tokens of version 2, and of the metadata."""
        return f"{self.authority}/{self.tenant_id}/v2.0"

    @property
    def issuers(self) -> frozenset[str]:
        """All issuers that the tenant's access tokens may name. Which version a token has, the API's app registration
        decides (``requestedAccessTokenVersion``), not the caller."""
        host = (urlsplit(self.authority).hostname or "").lower()
        in_china = host.endswith((".chinacloudapi.cn", ".microsoftonline.cn"))
        version_1 = "sts.chinacloudapi.cn" if in_china else "sts.windows.net"
        return frozenset({self.issuer, f"https://{version_1}/{self.tenant_id}/"})

    @property
    def metadata_url(self) -> str:
        return f"{self.issuer}/.well-known/openid-configuration"


def load_keys(
    tenant: Tenant, *, tls: ssl.SSLContext | None = None, seconds: float = DEADLINE_SECONDS
) -> Mapping[str, RSAPublicKey]:
    """The tenant's present signing keys by their ids.

    tls: whom to trust; None for the authorities of the system (or of ``SSL_CERT_FILE``).
    seconds: how long each of the two answers may take.

    Raises:
        KeysUnavailableError: no answer in time, or none that can be trusted.
    """
    plain = tenant.authority.startswith("http:")
    if tls is None:
        # Reading the system's authorities costs 60 ms; without them no https address is believed.
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else ssl.create_default_context()
    metadata = _get_json(tenant.metadata_url, tls, seconds)
    if metadata.get("issuer") != tenant.issuer:
        raise KeysUnavailableError(f"The metadata at {tenant.metadata_url} are those of another issuer.")
    location = metadata.get("jwks_uri")
    if not isinstance(location, str) or not is_trustworthy(location, plain=plain):
        raise KeysUnavailableError(f"The metadata at {tenant.metadata_url} name no https address of keys.")
    keys = read_keys(_get_json(location, tls, seconds), tenant)
    if not keys:
        raise KeysUnavailableError(f"There is no usable signing key at {location}.")
    return keys


def read_keys(document: Mapping[str, Any], tenant: Tenant) -> Mapping[str, RSAPublicKey]:
    """The keys of a JWK set that may sign this tenant's access tokens with RS256; all others are passed over."""
    entries = document.get("keys")
    found: dict[str, RSAPublicKey] = {}
    for entry in entries[:_MOST_KEYS] if isinstance(entries, list) else []:
        key = _usable(entry, tenant) if isinstance(entry, dict) else None
        if key is not None:
            found.setdefault(entry["kid"], key)
    return found


def is_trustworthy(url: str, *, plain: bool) -> bool:
    """Whether keys may be fetched from there: over https, or, when ``plain`` says so, from this machine itself."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and plain and host in _LOOPBACK))


def _usable(entry: dict[str, Any], tenant: Tenant) -> RSAPublicKey | None:
    named = isinstance(entry.get("kid"), str) and entry["kid"]
    # Keys of consumer accounts stand in the same set, told by their issuer.
    issuer = entry.get("issuer")
    ours = issuer is None or str(issuer).replace("{tenantid}", tenant.tenant_id) == tenant.issuer
    for_signing = entry.get("use", "sig") == "sig" and entry.get("alg", "RS256") == "RS256"
    if not (named and ours and for_signing and entry.get("kty") == "RSA"):
        return None
    try:
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": entry.get("n"), "e": entry.get("e")})
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= _SMALLEST_KEY else None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from where the settings and the metadata say, from nowhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs


def _get_json(url: str, tls: ssl.SSLContext, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects(), urllib.request.HTTPSHandler(context=tls)]
    if url.startswith("http:"):
        handlers.append(urllib.request.ProxyHandler({}))  # this machine itself, which no proxy reaches
    opener = urllib.request.build_opener(*handlers)
    # S310: the scheme was checked, here and by is_trustworthy.
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
    try:
        with opener.open(request, timeout=seconds) as answer:
            text = _read(answer, deadline, url)
        document = json.loads(text)
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise KeysUnavailableError(f"{url} cannot be read: {error}.") from error
    if not isinstance(document, dict):
        raise KeysUnavailableError(f"{url} answers no JSON object.")
    return document


def _read(answer: http.client.HTTPResponse, deadline: float, url: str) -> bytes:
    """The body; a server that sends byte by byte, or without an end, does not hold the thread for ever."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(65536):
        parts.append(part)
        size += len(part)
        if size > _LARGEST_DOCUMENT:
            raise KeysUnavailableError(f"{url} answers more than {_LARGEST_DOCUMENT} bytes.")
        if time.monotonic() > deadline:
            raise KeysUnavailableError(f"{url} did not answer in time.")
    return b"".join(parts)
