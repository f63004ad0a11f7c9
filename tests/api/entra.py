"""A stand-in for Entra on this machine: a real HTTP(S) server of metadata and keys, and tokens signed by real keys."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

TENANT = "99999999-8888-7777-6666-555555555555"
CLIENT_ID = "abababab-1111-2222-3333-444444444444"
AUDIENCE = f"api://{CLIENT_ID}"
OBJECT_ID = "0d0d0d0d-1111-2222-3333-444444444444"
APP_ID = "cdcdcdcd-1111-2222-3333-444444444444"


@cache
def _key(name: str, bits: int) -> rsa.RSAPrivateKey:
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key pair; making one costs a tenth of a second, so each name has one for all tests."""
    return _key(name, bits)


def jwk(name: str, bits: int = 2048, /, **changed: Any) -> dict[str, Any]:
    """The public half of the key of this name, as it stands in a JWK set; None leaves a member out."""
    public: dict[str, Any] = RSAAlgorithm.to_jwk(key(name, bits).public_key(), as_dict=True)
    entry = {"kty": "RSA", "use": "sig", "kid": name, "n": public["n"], "e": public["e"]} | changed
    return {name: value for name, value in entry.items() if value is not None}


@dataclass
class Entra:
    """What the server answers, and how often it was asked for keys. Change it while it runs."""

    authority: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [jwk("k1")])
    metadata: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    delay: threading.Event | None = None
    """When set, answers wait for it."""
    drip: bool = False
    """Answers come byte by byte: many seconds for a kilobyte."""
    fetches: int = 0

    def answer(self, path: str) -> tuple[int, bytes]:
        if path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            found = {
                "issuer": f"{self.authority}/{TENANT}/v2.0",
                "jwks_uri": f"{self.authority}/{TENANT}/discovery/v2.0/keys",
            } | self.metadata
            return 200, json.dumps(found).encode()
        if path == f"/{TENANT}/discovery/v2.0/keys":
            self.fetches += 1
            if self.delay is not None:
                self.delay.wait(20)
            return self.status, self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()
        return 404, b"{}"

    def claims(self, *roles: str, **changed: Any) -> dict[str, Any]:
        """Claims of a user's access token of version 2; None leaves one out."""
        now = int(time.time())
        content = {
            "iss": f"{self.authority}/{TENANT}/v2.0",
            "aud": CLIENT_ID,
            "tid": TENANT,
            "oid": OBJECT_ID,
            "sub": "pairwise",
            "azp": APP_ID,
            "scp": "user_impersonation",
            "preferred_username": "alice@contoso.com",
            "roles": list(roles),
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "ver": "2.0",
        } | changed
        return {name: value for name, value in content.items() if value is not None}

    def token(self, *roles: str, kid: str = "k1", headers: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token as Entra would sign it with the key ``kid``."""
        # Not by jwt.encode, which refuses to write some of the claims that a test needs wrong.
        content = json.dumps(self.claims(*roles, **changed)).encode()
        return jwt.PyJWS().encode(content, key(kid), algorithm="RS256", headers=headers or {"kid": kid})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    entra: Entra

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust the certificate, or have gone, are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        entra = self.server.entra
        status, body = entra.answer(urlsplit(self.path).path)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"{entra.authority}/{TENANT}/discovery/v2.0/keys")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body if entra.drip else b"":
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class calls it so
        """Nothing."""


@contextlib.contextmanager
def running_entra(tls: ssl.SSLContext | None = None) -> Iterator[Entra]:
    """Serves on a free port of this machine."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.entra = Entra(authority=f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.entra
        finally:
            if server.entra.delay is not None:
                server.entra.delay.set()
            server.shutdown()
            thread.join(10)
