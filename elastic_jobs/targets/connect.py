"""Connections to target servers: the only place of the product that opens them."""

from __future__ import annotations

import functools
import importlib.util
import platform
import struct
from dataclasses import dataclass
from pathlib import Path

import pyodbc

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.settings import Settings
from elastic_jobs.targets.authentication import SQL_COPT_SS_ACCESS_TOKEN, Login, PasswordLogin, pack_token
from elastic_jobs.targets.errors import TargetError, connect_failure, read, redact, retry_connect
from elastic_jobs.targets.servers import Endpoint, TargetServers
from elastic_jobs.targets.stop import StopSignal

# Each target is another database, and a pooled session would carry settings and temporary tables into the next script.
pyodbc.pooling = False

DRIVER = "ODBC Driver 18 for SQL Server"
_PACKAGE = "mssql_python_odbc"
APPLICATION_NAME = "elastic-jobs"

LOGIN_TIMEOUT_SECONDS = 15
"""Of one try. The driver itself tries a refused connection again within it."""

CONNECT_RETRY_SECONDS = (1.0, 5.0, 10.0, 20.0, 40.0)
"""Waits between tries: 76 s in all, so that a paused serverless database, which needs about a minute, is reached.
Microsoft advises 5 s before a retry; the first second is for the many failovers that are over by then."""

_SQL_SS_TIMESTAMPOFFSET = -155


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """What the connector needs of a deployment's settings."""

    servers: TargetServers
    trust_certificates: bool = False
    login_timeout_seconds: int = LOGIN_TIMEOUT_SECONDS
    retry_seconds: tuple[float, ...] = CONNECT_RETRY_SECONDS
    driver: str | None = None
    """Value of ``Driver=`` in the connection string; None: the installed one is looked for."""

    @classmethod
    def from_settings(cls, settings: Settings) -> ConnectOptions:
        return cls(servers=TargetServers.from_settings(settings), trust_certificates=settings.trust_target_certificates)


class Connector:
    """Connects to target servers that are allowed, as a login, over verified TLS. Safe to use from many threads."""

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options

    @property
    def servers(self) -> TargetServers:
        return self._options.servers

    def connect(
        self,
        server_name: str,
        database_name: str,
        login: Login,
        *,
        stop: StopSignal | None = None,
        login_timeout_seconds: int | None = None,
        autocommit: bool = True,
    ) -> pyodbc.Connection:
        """Connect, again after a while when the server asks for patience (paused, failing over, throttled).

        stop: ends the waiting between tries at once. A try that is under way cannot be interrupted; it lasts for
        the login timeout at most.

        Raises:
            ServerNotAllowedError: the server may not be reached; nothing was sent.
            CredentialError: no token could be had for the login.
            TargetError: it could not be connected; a sentence without secrets.
            Stopped: ``stop`` was given.
        """
        endpoint = self._options.servers.endpoint(server_name)
        server = self._options.servers.require(server_name)
        signal = stop or StopSignal()
        tries = 0
        while True:
            signal.check()
            tries += 1
            request = self._request(endpoint, database_name, login, login_timeout_seconds, autocommit)
            try:
                return request.open()
            except pyodbc.Error as error:
                failure = read(error)
            delays = self._options.retry_seconds
            if not retry_connect(failure, tries) or tries > len(delays):
                known = connect_failure(failure, server, database_name, str(login), tries)
                raise TargetError(
                    redact(str(known), login.secrets()), error_class=known.error_class, number=known.number
                ) from None
            signal.wait(delays[tries - 1])

    def _request(
        self, endpoint: Endpoint, database: str, login: Login, timeout: int | None, autocommit: bool
    ) -> _Request:
        fields = {
            "Driver": self._options.driver or find_driver(),
            "Server": quote(endpoint.address),
            "Database": quote(database),
            "Encrypt": "yes",
            "TrustServerCertificate": "yes" if self._options.trust_certificates else "no",
            "APP": APPLICATION_NAME,
            # The driver would reconnect silently between two batches, and the session's state and lock would be gone.
            "ConnectRetryCount": "0",
        }
        if endpoint.certificate_name:
            fields["HostNameInCertificate"] = quote(endpoint.certificate_name)
        attributes: dict[int, int | bytes] = {}
        if isinstance(login, PasswordLogin):
            fields["UID"], fields["PWD"] = quote(login.username), quote(login.password)
        else:
            attributes[SQL_COPT_SS_ACCESS_TOKEN] = pack_token(login.tokens.token(login.client_id))
        text = ";".join(f"{name}={value}" for name, value in fields.items()) + ";"
        return _Request(text, attributes, timeout or self._options.login_timeout_seconds, autocommit)


class _Request:
    """One try. No dataclass: a generated repr would show the password."""

    def __init__(self, text: str, attributes: dict[int, int | bytes], timeout: int, autocommit: bool) -> None:
        self._text, self._attributes, self._timeout, self._autocommit = text, attributes, timeout, autocommit

    def open(self) -> pyodbc.Connection:
        connection = pyodbc.connect(
            self._text, autocommit=self._autocommit, timeout=self._timeout, attrs_before=self._attributes
        )
        # pyodbc cannot fetch datetimeoffset without.
        connection.add_output_converter(_SQL_SS_TIMESTAMPOFFSET, datetimeoffset_text)
        return connection


def quote(value: str) -> str:
    """A value for a connection string, in braces, so that no character of it can begin another field."""
    return "{" + value.replace("}", "}}") + "}"


@functools.cache
def find_driver() -> str:
    """The value of ``Driver=``: the installed driver's name, or the file that package mssql-python-odbc brings.

    Raises:
        TargetError: there is neither.
    """
    if DRIVER in pyodbc.drivers():
        return quote(DRIVER)
    file = _packaged_driver()
    if file is None:
        raise TargetError(
            f"There is no '{DRIVER}' on this machine; install it, or the Python package mssql-python-odbc.",
            error_class=ErrorClass.TRANSIENT,
        )
    return quote(str(file))


def _packaged_driver() -> Path | None:
    # Optional: on Azure Functions the image has the driver. Only its place is needed, so it is not imported.
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.origin:
        return None
    machine = {"aarch64": "arm64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    libraries = Path(package.origin).parent / "libs"
    found = sorted(libraries.glob(f"**/{machine}/lib/libmsodbcsql*18*"))
    # The builds differ in the OpenSSL and Kerberos that they were linked with; Debian's is the widest spread.
    preferred = [file for file in found if "debian_ubuntu" in file.parts]
    return next(iter(preferred or found), None)


def datetimeoffset_text(value: bytes) -> str:
    """SQL_SS_TIMESTAMPOFFSET_STRUCT as text with all seven digits: ``2024-02-29 13:14:15.1234567 +02:00``."""
    year, month, day, hour, minute, second, nanoseconds, offset_hour, offset_minute = struct.unpack("<6hI2h", value)
    sign = "-" if offset_hour < 0 or offset_minute < 0 else "+"
    return (
        f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{nanoseconds // 100:07}"
        f" {sign}{abs(offset_hour):02}:{abs(offset_minute):02}"
    )
