"""Connections to target servers: the only place of the product that opens them."""

from __future__ import annotations

import functools
import importlib.util
import platform
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyodbc

from elastic_jobs.domain.outcome import ErrorClass
from elastic_jobs.errors import CredentialError
from elastic_jobs.settings import Settings
from elastic_jobs.targets import authorities
from elastic_jobs.targets.authentication import (
    REFUSED_NUMBERS,
    SQL_COPT_SS_ACCESS_TOKEN,
    Login,
    PasswordLogin,
    pack_token,
)
from elastic_jobs.targets.authorities import Authorities
from elastic_jobs.targets.errors import TargetError, connect_failure, read, redact, retry_connect
from elastic_jobs.targets.servers import Endpoint, TargetServers
from elastic_jobs.targets.stop import StopSignal
from elastic_jobs.targets.user_setup import way_in

# Each target is another database, and a pooled session would carry settings and temporary tables into the next script.
pyodbc.pooling = False

DRIVER = "ODBC Driver 18 for SQL Server"
_PACKAGE = "mssql_python_odbc"
APPLICATION_NAME = "elastic-jobs"

LOGIN_TIMEOUT_SECONDS = 15
"""Of one try. The driver itself tries a refused connection again within it."""

CONNECT_PATIENCE_SECONDS = 90.0
"""All waits together. A paused serverless database needs about a minute to wake up, sometimes more."""
_FIRST_WAITS = (1.0, 5.0, 10.0, 20.0, 40.0)
"""Microsoft advises 5 s before a retry, growing to 60 s; the first second is for the many failovers over by then."""
_LONGEST_WAIT = 60.0
_SPREAD = 0.2
"""Part by which a wait is shorter or longer than planned: hundreds of targets must not come back in one moment."""


def connect_waits(patience_seconds: float) -> tuple[float, ...]:
    """The waits between tries, in seconds; together the patience."""
    waits: list[float] = []
    left = patience_seconds
    while left > 0:
        wait = _FIRST_WAITS[len(waits)] if len(waits) < len(_FIRST_WAITS) else _LONGEST_WAIT
        waits.append(min(wait, left))
        left -= wait
    return tuple(waits)


_SQL_SS_TIMESTAMPOFFSET = -155
_SQL_ATTR_CURRENT_CATALOG = 109


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """What the connector needs of a deployment's settings."""

    servers: TargetServers
    trust_certificates: bool = False
    login_timeout_seconds: int = LOGIN_TIMEOUT_SECONDS
    retry_seconds: tuple[float, ...] = connect_waits(CONNECT_PATIENCE_SECONDS)
    authorities: Authorities = Authorities.SYSTEM
    randomness: Callable[[], float] = random.random
    """A number from 0 to 1, to spread the tries of many targets."""
    driver: str | None = None
    """Value of ``Driver=`` in the connection string; None: the installed one is looked for."""

    @classmethod
    def from_settings(cls, settings: Settings) -> ConnectOptions:
        return cls(
            servers=TargetServers.from_settings(settings),
            trust_certificates=settings.trust_target_certificates,
            retry_seconds=connect_waits(settings.connect_patience_seconds),
            authorities=Authorities(settings.target_certificate_authorities),
        )


class Connector:
    """Connects to target servers that are allowed, as a login, over verified TLS. Safe to use from many threads."""

    def __init__(self, options: ConnectOptions) -> None:
        self._options = options
        authorities.use(options.authorities)

    @property
    def servers(self) -> TargetServers:
        return self._options.servers

    @property
    def trusts_any_certificate(self) -> bool:
        return self._options.trust_certificates

    def connect(
        self,
        server_name: str,
        database_name: str,
        login: Login,
        *,
        stop: StopSignal | None = None,
        login_timeout_seconds: int | None = None,
        autocommit: bool = True,
        patient: bool = True,
    ) -> pyodbc.Connection:
        """Connect, again after a while when the server asks for patience (paused, failing over, throttled).

        A login that the server refuses is tried once more when its password or token has changed meanwhile.

        stop: ends the waiting between tries at once. A try that is under way cannot be interrupted; it lasts for
        the login timeout at most. patient: False: no waiting, an error is raised as it comes.

        Raises:
            ServerNotAllowedError: the server may not be reached; nothing was sent.
            CredentialError: no token could be had for the login.
            TargetError: it could not be connected; a sentence without secrets.
            Stopped: ``stop`` was given.
        """
        endpoint = self._options.servers.endpoint(server_name)
        server = self._options.servers.require(server_name)
        login.require(server)
        signal = stop or StopSignal()
        delays = self._options.retry_seconds if patient else ()
        tries, waits, known_secrets = 0, 0, login.secrets()
        renewed = False
        while True:
            signal.check()
            tries += 1
            secret = login.secret()
            request = self._request(endpoint, database_name, login, secret, login_timeout_seconds, autocommit)
            try:
                return request.open()
            except pyodbc.Error as error:
                failure = read(error)
            if failure.number in REFUSED_NUMBERS and not renewed:
                renewed, newer = True, _renewed(login, secret)
                if newer is not None:
                    login, known_secrets = newer, (*known_secrets, *newer.secrets())
                    continue
            if waits == len(delays) or not retry_connect(failure, tries):
                known = connect_failure(failure, server, database_name, str(login), tries, way_in(login, database_name))
                raise TargetError(
                    redact(str(known), known_secrets), error_class=known.error_class, number=known.number
                ) from None
            signal.wait(delays[waits] * (1 - _SPREAD + 2 * _SPREAD * self._options.randomness()))
            waits += 1

    def _request(
        self, endpoint: Endpoint, database: str, login: Login, secret: str, timeout: int | None, autocommit: bool
    ) -> _Request:
        fields = {
            "Driver": self._options.driver or find_driver(),
            "Encrypt": "yes",
            "TrustServerCertificate": "yes" if self._options.trust_certificates else "no",
            "APP": APPLICATION_NAME,
            # The driver would reconnect silently between two batches, and the session's state and lock would be gone.
            "ConnectRetryCount": "0",
            "Server": quote(endpoint.address),
        }
        if endpoint.certificate_name:
            fields["HostNameInCertificate"] = quote(endpoint.certificate_name)
        attributes: dict[int, str | bytes] = {}
        if database and database.isascii():
            # Not in the text: for each text that it has not seen before pyodbc asks the server about its types, three
            # round trips whose answers are kept for ever. The driver logs in to the database all the same.
            attributes[_SQL_ATTR_CURRENT_CATALOG] = database
        else:
            # unixODBC hands such an attribute on with one byte a character, and another database would be opened.
            fields["Database"] = quote(database)
        if isinstance(login, PasswordLogin):
            fields["UID"], fields["PWD"] = quote(login.username), quote(secret)
        else:
            attributes[SQL_COPT_SS_ACCESS_TOKEN] = pack_token(secret)
        text = ";".join(f"{name}={value}" for name, value in fields.items()) + ";"
        if "\0" in text or "\0" in database:
            # The driver manager would read up to there only, and whatever stands behind it would be lost.
            raise TargetError(
                f"The name of database {database!r}, or the login to it, holds a NUL character; correct it.",
                error_class=ErrorClass.SCRIPT,
            )
        return _Request(text, attributes, timeout or self._options.login_timeout_seconds, autocommit)


def _renewed(login: Login, refused: str) -> Login | None:
    try:
        return login.renewed(refused)
    except CredentialError:
        # That the server refused the login is what people have to know.
        return None


class _Request:
    """One try. No dataclass: a generated repr would show the password."""

    def __init__(self, text: str, attributes: dict[int, str | bytes], timeout: int, autocommit: bool) -> None:
        self._text, self._attributes, self._timeout, self._autocommit = text, attributes, timeout, autocommit

    def open(self) -> pyodbc.Connection:
        connection = pyodbc.connect(
            self._text, autocommit=self._autocommit, timeout=self._timeout, attrs_before=self._attributes
        )
        asked = self._attributes.get(_SQL_ATTR_CURRENT_CATALOG)
        if isinstance(asked, str):
            require_database(connection, asked)
        # pyodbc cannot fetch datetimeoffset without.
        connection.add_output_converter(_SQL_SS_TIMESTAMPOFFSET, datetimeoffset_text)
        return connection


def require_database(connection: pyodbc.Connection, asked: str) -> None:
    """A driver or driver manager that ignores the attribute must not let a script run on another database.

    The driver knows the answer from the login; nothing is asked over the network.

    Raises:
        TargetError: another database is open; the connection is then closed.
    """
    opened = str(connection.getinfo(pyodbc.SQL_DATABASE_NAME))
    if opened.rstrip().casefold() != asked.rstrip().casefold():
        connection.close()
        raise TargetError(
            f"The driver opened database '{opened}' instead of '{asked}'; nothing was run. This is a fault of the"
            " installed ODBC driver or driver manager.",
            error_class=ErrorClass.SCRIPT,
        )


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
