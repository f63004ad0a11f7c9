"""The way to a server, one stretch after the other: allow-list, DNS, TCP, TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from elastic_jobs.errors import ServerNotAllowedError
from elastic_jobs.targets.authentication import Login
from elastic_jobs.targets.connect import Connector
from elastic_jobs.targets.tls_probe import NotEncryptedError, handshake, trusting

CONNECT_TIMEOUT_SECONDS = 5.0
HANDSHAKE_TIMEOUT_SECONDS = 10.0
"""For the whole of it: a server that sends a byte now and then must not keep a thread for hours."""
_DEFAULT_PORT = 1433


class Check(StrEnum):
    ALLOWED = "allowed"
    """The server is on the allow-list, and on that of the credential or identity."""
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    LOGIN = "login"
    DATABASE = "database"
    PERMISSION = "permission"


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but may not be what is wanted."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not tried, because something before it failed."""


@dataclass(frozen=True)
class CheckResult:
    """One check: how it ended, how long it took, and a sentence, which for a failure ends with the way out."""

    check: Check
    status: Status
    milliseconds: int
    message: str


class _Failed(Exception):  # noqa: N818  # carries a sentence to the one place that makes the result
    """The check failed for this reason."""


def network_checks(
    connector: Connector, server_name: str, login: Login, monotonic: Callable[[], float]
) -> tuple[CheckResult, ...]:
    """The four checks of one server. Connects only to a server that this login is allowed for; sends no login."""
    way = _Way(connector, server_name, login)
    results: list[CheckResult] = []
    try:
        for check, stretch in (
            (Check.ALLOWED, way.allowed),
            (Check.DNS, way.resolve),
            (Check.TCP, way.connect),
            (Check.TLS, way.encrypt),
        ):
            if results and results[-1].status is not Status.OK:
                results.append(CheckResult(check, Status.SKIPPED, 0, "Not tried, because of what failed before."))
                continue
            began = monotonic()
            try:
                status, sentence = Status.OK, stretch()
            except _Failed as failed:
                status, sentence = Status.FAILED, str(failed)
            results.append(CheckResult(check, status, round((monotonic() - began) * 1000), sentence))
    finally:
        way.close()
    return tuple(results)


class _Way:
    def __init__(self, connector: Connector, server_name: str, login: Login) -> None:
        self._connector, self._server, self._login = connector, server_name, login
        self._host, self._port, self._certificate_name = "", _DEFAULT_PORT, ""
        self._connection: socket.socket | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def allowed(self) -> str:
        servers = self._connector.servers
        try:
            endpoint = servers.endpoint(self._server)
            self._login.require(servers.require(self._server))
        except ServerNotAllowedError as error:
            raise _Failed(str(error)) from None
        host, _, port = endpoint.address.removeprefix("tcp:").partition(",")
        self._host, self._port = host.strip(), int(port) if port.strip().isdecimal() else _DEFAULT_PORT
        self._certificate_name = endpoint.certificate_name or self._host
        return f"Server '{self._server}' is on the list of allowed target servers."

    def resolve(self) -> str:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise _Failed(
                f"The name '{self._host}' has no address ({error.strerror or error}). Check the server's name; with a"
                " private endpoint, link its private DNS zone to this app's network."
            ) from None
        addresses = ", ".join(dict.fromkeys(str(address[4][0]) for address in found))
        return f"The name '{self._host}' has the address {addresses}."

    def connect(self) -> str:
        where = f"{self._host}, port {self._port}"
        try:
            self._connection = socket.create_connection((self._host, self._port), CONNECT_TIMEOUT_SECONDS)
        except TimeoutError:
            raise _Failed(
                f"Nothing answers at {where} within {CONNECT_TIMEOUT_SECONDS:g} s. Let this app's network out to"
                f" port {self._port}, or give the server a private endpoint in it."
            ) from None
        except OSError as error:
            raise _Failed(
                f"No connection to {where} ({error.strerror or error}). Check the route, network security groups and"
                " that public access is on, or give the server a private endpoint."
            ) from None
        return f"A server listens at {where}."

    def encrypt(self) -> str:
        assert self._connection is not None  # noqa: S101  # made by the check before
        context = trusting(self._connector.trusts_any_certificate)
        try:
            handshake(self._connection, self._certificate_name, context, seconds=HANDSHAKE_TIMEOUT_SECONDS)
        except ssl.SSLCertVerificationError as error:
            raise _Failed(
                f"The certificate of server '{self._server}' could not be verified: {error.verify_message}. Check that"
                " the name belongs to the server and that its authority is trusted."
            ) from None
        except (NotEncryptedError, OSError) as error:
            raise _Failed(
                f"What answers as server '{self._server}' does not encrypt as SQL Server does ({error}). Check that"
                " the address leads to the server and that nothing in between ends or filters its connections."
            ) from None
        if self._connector.trusts_any_certificate:
            return "The connection is encrypted; the certificate is not verified, as TRUST_TARGET_CERTIFICATES says."
        return "The connection is encrypted, and the certificate is the server's."
